"""How a run begins: from fresh weights, from another run's, or where it stood."""

import grain
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from i2i_jax import data
from i2i_jax.data import fingerprints
from i2i_jax.errors import BadInput, RunFault
from i2i_jax.inference import unlike
from i2i_jax.methods import base
from i2i_jax.plan import Plan
from i2i_jax.runs import checkpoint, folder, layout, warm_start
from i2i_jax.runtime.describe import parameter_count
from i2i_jax.training import grow
from i2i_jax.training.samples import sample_columns


def arguments(plan: Plan, key: jax.Array) -> tuple:
  """What a step of full size takes, as shapes: (state, batch, key, size)."""
  state = checkpoint.placed(plan.shapes, plan.shardings.replicated)
  batch = checkpoint.placed(checkpoint.example_batch(plan.config), plan.shardings.data)
  return state, batch, key, grow.size_at(plan.stages, plan.config.steps)


def note(plan: Plan, command: str, costs: dict) -> None:
  """Writes config.json and run.json."""
  train, directions = plan.train_data, plan.method.translators
  folder.note_start(
    plan.workdir,
    plan.config,
    command=command,
    data={'train': len(train), 'val': len(plan.val_data), 'fingerprint': train.fingerprint},
    columns=list(sample_columns({d: lambda x: x for d in directions}, {'a': 0, 'b': 0})),
    parameters={name: parameter_count(params) for name, params in plan.shapes.params.items()},
    cost=costs,
  )


def fresh(plan: Plan, rng: jax.Array) -> base.State:
  """The State of a new run. Raises BadInput where the run of `init_from` has other nets."""
  zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), checkpoint.example_batch(plan.config))
  state = base.init_on_devices(plan.method, plan.config, rng, zeros, plan.shardings.replicated)
  if plan.init_from:
    other = checkpoint.load(plan.init_from, plan.shardings)
    state = warm_start.start_from(state, other, f'--init_from {plan.init_from}')
  return state


def check_unchanged(plan: Plan) -> None:
  """Raises BadInput where another process has trained in the folder between planning and the lock."""
  folder.check(plan.workdir, plan.config)
  if (now := checkpoint.newest(plan.workdir) or 0) != plan.start:
    raise BadInput(
      f'--workdir: another process has trained {plan.workdir} to step {now} meanwhile; the same command goes on there'
    )


def resumed(
  plan: Plan, checkpoints: ocp.CheckpointManager, iterator: grain.DatasetIterator
) -> tuple[base.State, jax.Array]:
  """State and random key of the newest checkpoint; sets `iterator` to where the data stood.

  Raises:
    BadInput: the training data have changed since.
  """
  meta = checkpoint.restore_meta(checkpoints, plan.start)
  if fingerprints.differ(meta['fingerprint'], plan.train_data.fingerprint):
    raise BadInput(
      f'{plan.workdir}: the training data have changed since step {plan.start}; to resume, restore the old data, or '
      'name another --workdir'
    )
  everywhere = plan.shardings.replicated
  state = checkpoint.restore_state(checkpoints, plan.start, checkpoint.placed(plan.shapes, everywhere))
  try:
    iterator.set_state(meta['data'])
    key = jax.device_put(jax.random.wrap_key_data(jnp.array(meta['rng'], jnp.uint32)), everywhere)
  except Exception as error:  # Grain raises whatever it meets in a position that it did not write
    reason = ' '.join(f'{type(error).__name__}: {error}'.split())[:200]
    raise BadInput(
      f'{plan.workdir}, step {plan.start}: the position in the data or the random key is damaged ({reason}); '
      f'{checkpoint.OLDER}'
    ) from None
  print(f'resuming {plan.workdir} at step {plan.start} of {plan.config.steps}')
  if (before := meta['config'].get('steps')) != plan.config.steps:
    print(f'config.steps was {before}: the learning rate now falls over {plan.config.steps} steps')
  return state, key


def keep_inputs(plan: Plan) -> None:
  """Stores what the training inputs of each direction are like, once a run: `translate` then says what is unlike.

  Raises:
    RunFault: one of up to 300 that are looked at cannot be read.
  """
  for side in {direction[0]: None for direction in plan.method.translators}:
    file = plan.workdir / layout.inputs(side)
    if file.exists() or len(plan.train_data) < unlike.FEWEST:
      continue
    groups = data.groups(plan.train_data, side)
    try:
      batches = data.eval_batches(plan.train_data, plan.config, 16, limit=unlike.MOST)
      images = np.concatenate([unlike.seen(batch[side]) for batch in batches])
    except BadInput as error:
      raise RunFault(str(error)) from None
    known = unlike.learn(images, [groups[i] for i in data.spread(len(groups), unlike.MOST)])
    if known:
      unlike.save(file, known)
