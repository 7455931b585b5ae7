"""The hook that looks at a GAN's health every so many steps, and says what is wrong."""

import functools

import jax
import numpy as np

from i2i_jax import data
from i2i_jax.health import readings, signs
from i2i_jax.inference.predictor import BATCH, Program
from i2i_jax.methods.base import norm_of, with_extra
from i2i_jax.plan import Plan
from i2i_jax.runs import layout
from i2i_jax.runs.log import read_log
from i2i_jax.training.hooks import Hook
from i2i_jax.training.progress import Progress
from i2i_jax.training.writers import Writer


def watch(plan: Plan, writer: Writer, predict: dict[str, Program], progress: Progress) -> Hook:
  """Health at each config.health_every-th step: readings are logged, and a sign of illness is told once it lasts."""
  config, every = plan.config, plan.config.health_every
  if not every:
    return Hook()
  seen: dict[str, list[float]] = {}  # of the discriminators, at each step since the last look
  history = [line for line in read_log(plan.workdir / layout.LOG) if signs.readings(line)]
  told = signs.lasting(history)
  progress.ill(told)

  def metrics(step, values):
    for name, value in values.items():
      if name.startswith(('disc/', 'grad/')):
        seen.setdefault(name, []).append(value)

  @functools.cache
  def images():
    """Of both splits, for this hook alone: {'a', 'b': [N, H, W, C]}, and how many are of the training split."""
    half = BATCH // 2
    parts = [next(data.eval_batches(source, config, half, limit=half)) for source in (plan.train_data, plan.val_data)]
    count = {k: min(len(part[k]) for part in parts) for k in 'ab'}
    known = min(count.values())
    return {k: np.concatenate([part[k][:known] for part in parts]) for k in 'ab'}, known

  def act(step, state):
    sides, known = images()
    if 'ema' in state.extra:  # an average of the weights tells late, and at first of how they began
      state = with_extra(state, ema=state.params['gen'])
    values = readings.of_discriminators(seen)
    seen.clear()
    for direction in predict:
      there = functools.partial(predict[direction], state)
      way = predict.get(direction[::-1])
      back = functools.partial(way, state) if way else None
      found = readings.look(
        there, *(sides[k] for k in direction), known=known, paired=plan.train_data.paired, back=back
      )
      values |= {f'{name}{layout.suffix(direction)}': value for name, value in readings.readings(found).items()}
    sizes = {net: float(size) for net, size in jax.device_get(weights(state.params)).items()}
    last = signs.readings(history[-1]) if history else {}
    values |= {f'size/{net}': size for net, size in sizes.items()}
    values |= {
      f'moved/{net}': abs(size - old) / max(old, 1e-9)
      for net, size in sizes.items()
      if (old := last.get(f'size/{net}')) is not None
    }
    line = {f'health/{name}': value for name, value in values.items()}
    writer.scalars(step, line)
    history.append({'step': step, **line})
    before, now = ({alarm.name: alarm for alarm in alarms} for alarms in (told, signs.lasting(history)))
    told[:] = now.values()
    progress.ill(told)
    for name, alarm in now.items():
      if name not in before:
        progress.say(f'warning: {alarm.line()}')
    for name in before:
      if name not in now:
        progress.say(f'step {step}: {name} is over')

  @jax.jit
  def weights(params):
    return {net: norm_of(of) for net, of in params.items()}

  return Hook(metrics, lambda step, last: step % every == 0, act)
