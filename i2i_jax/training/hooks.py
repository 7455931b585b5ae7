"""What happens between the updates: one hook for each purpose, in the order in which `train` names them."""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from i2i_jax import data
from i2i_jax.config import to_dict
from i2i_jax.data import images, labels
from i2i_jax.errors import RunFault
from i2i_jax.evaluation import scoring
from i2i_jax.evaluation.measure import make
from i2i_jax.inference import attention
from i2i_jax.inference.predictor import Program
from i2i_jax.methods import base
from i2i_jax.plan import Plan
from i2i_jax.runs import checkpoint, folder, layout
from i2i_jax.runs.log import read_log
from i2i_jax.runtime import stopping
from i2i_jax.training.batches import Batches
from i2i_jax.training.finite import unsound
from i2i_jax.training.samples import sample_columns
from i2i_jax.training.writers import Writer


class Hook(NamedTuple):
  """Functions that the loop calls.

  metrics: (step, floats by name), of each step: one step late, while the device computes the next, or at once where a
    hook is due. due: (step, whether it is the session's last) -> whether `act` is called. act: (step, state).
  """

  metrics: Callable = lambda step, values: None
  due: Callable = lambda step, last: False
  act: Callable = lambda step, state: None


def tell(hooks: tuple[Hook, ...], step: int, metrics: dict) -> None:
  """Gives all hooks a step's metrics, once they have come from the device."""
  values = {name: float(value) for name, value in jax.device_get(metrics).items()}
  for hook in hooks:
    hook.metrics(step, values)


def check_finite(plan: Plan, state: Callable) -> Hook:
  """Ends a run whose losses are not finite; `state()` is the newest, to say which nets are not either."""

  def metrics(step, values):
    bad = [name for name, value in values.items() if not np.isfinite(value)]
    if bad:
      bad.sort(key=lambda name: not name.startswith('loss/'))
      told = ', '.join(f'{name} is {values[name]}' for name in bad[:3])
      nets = [part.partition(' (')[0] for part in unsound(base.weights(state()), plan.config.optim.name)]
      state_of_nets = f'not finite by now: {", ".join(nets)}' if nets else 'all weights are finite'
      raise RunFault(f'step {step}: {told}{" and so on" if len(bad) > 3 else ""}; {state_of_nets}; {last_good(plan)}')

  return Hook(metrics=metrics)


def log(plan: Plan, writer: Writer, batches: Batches) -> Hook:
  """The losses, at each config.log_every-th step and at the run's last."""

  def metrics(step, values):
    if step % plan.config.log_every == 0 or step == plan.config.steps:
      logged = {
        name: value for name, value in values.items() if not name.startswith('grad/')
      }  # see training/health.py
      writer.scalars(step, {**logged, 'data/wait': batches.waiting()})

  return Hook(metrics=metrics)


def programs(plan: Plan) -> dict[str, Program]:
  """What translates while training, by direction."""
  return {
    d: Program(translator, plan.shardings, plan.config.seed) for d, translator in plan.method.translators.items()
  }


def validate(plan: Plan, writer: Writer, predict: dict[str, Program]) -> Hook:
  """Scores and pictures of the validation split; what is scored, and how often, is config.evals."""
  config, method = plan.config, plan.method
  measures = [(every, make(names, nets, shardings=plan.shardings)) for every, names, nets in plan.evals]
  view, see = attention.viewer(method, config), labels.drawer(config.data)

  def act(step, state):
    lines = []
    for direction, (every, measure) in itertools.product(method.translators, measures):
      if step % every == 0 or step == config.steps:
        batches = scoring.turned(scoring.batches_of(plan.val_data, config), direction)
        translate = {'val': functools.partial(predict[direction], state)}
        scores = scoring.score(translate, batches, measure, plan.val_data.paired)['val']
        lines.append({f'val/{name}{layout.suffix(direction)}': value for name, value in scores.means().items()})
    pictures, notes = draw(state) if config.samples else ({}, {})
    with stopping.hold():  # all of a step's scores are there, or none
      for values in lines:
        writer.scalars(step, values)
      for name, picture in pictures.items():
        writer.picture(step, name, picture)
      if notes:
        folder.note(plan.workdir, **notes)

  def draw(state):
    """Pictures by the name of their folder, and notes for run.json."""
    batch = next(data.eval_batches(plan.val_data, config, config.samples, limit=config.samples))
    columns = sample_columns({d: functools.partial(p, state) for d, p in predict.items()}, batch)
    columns = {name: see(x) if name == 'input' else x for name, x in columns.items()}
    rows = [[images.drawn(x) for x in row] for row in zip(*columns.values(), strict=True)]
    pictures = {layout.SAMPLES: images.grid(rows)}
    if not view:
      return pictures, {}
    rows, names = attention.rows(view, state, batch['a'])
    return {**pictures, layout.ATTENTION: images.grid(rows)}, {'attention': names}

  return Hook(due=lambda step, last: is_due(config, step), act=act)


def is_due(config: ConfigDict, step: int) -> bool:
  """Whether the validation split is scored and drawn at a step."""
  return step % config.eval_every == 0 or step == config.steps


def unscored(plan: Plan, step: int) -> bool:
  """Whether a stop cut off the validation that is due at a step: what it leaves is not there."""
  if not step or not is_due(plan.config, step):
    return False
  if any(step % every == 0 or step == plan.config.steps for every, *_ in plan.evals):
    lines = read_log(plan.workdir / layout.LOG)
    return not any(line['step'] == step and any(name.startswith('val/') for name in line) for line in lines)
  return bool(plan.config.samples) and not (plan.workdir / layout.SAMPLES / layout.sample(step)).exists()


def save(plan: Plan, checkpoints: ocp.CheckpointManager, iterator: grain.DatasetIterator, key: jax.Array) -> Hook:
  """A checkpoint, unless something in the State is not finite."""

  def act(step, state):
    if parts := unsound(state, plan.config.optim.name):
      raise RunFault(
        f'step {step}: not finite, and not saved: {"; ".join(parts)}; {last_good(plan)}; lower config.optim.lr or '
        'the weights in config.loss'
      )
    rng = np.asarray(jax.random.key_data(key)).tolist()
    meta = {'config': to_dict(plan.config), 'fingerprint': plan.train_data.fingerprint, 'rng': rng}
    checkpoint.save(checkpoints, step, state, {**meta, 'data': iterator.get_state()})

  return Hook(due=lambda step, last: last or step % plan.config.checkpoint_every == 0, act=act)


def last_good(plan: Plan) -> str:
  """Of what is committed: a checkpoint that is being written is none yet."""
  found = checkpoint.steps(plan.workdir)
  return f'the checkpoint of step {found[-1]} is good' if found else 'no checkpoint was saved yet'
