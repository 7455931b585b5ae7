"""Trains what a config describes, and goes on where a run in --workdir stands.

  python -m i2i_jax.train --config=configs/pix2pix_earth.py:task=relief,size=64 --workdir=runs/x

Any field of the config can be set: --config.steps=2000 --config.optim.lr=1e-4 --config.loss.gan=lsgan.
configs/common.py lists the fields. After a config's file name comes its argument, as above; each takes
`runlocal`, a version that ends within a minute on a laptop.

--profile records a few steps in WORKDIR/profile, for https://ui.perfetto.dev or XProf.

A run's folder holds config.json, run.json (command, versions, device), metrics.jsonl, tensorboard/, samples/
(pictures of validation images: input, output, target), checkpoints/ and report.html. Ctrl-C or SIGTERM saves a
checkpoint and ends (exit code 130 or 143); the same command goes on from there, exactly.
"""

import contextlib
import functools
import shlex
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from i2i_jax import (
  attention_maps,
  checkpoint,
  cli,
  compiling,
  cost,
  data,
  evaluate,
  grow,
  memory,
  mesh,
  methods,
  profiling,
  report,
)
from i2i_jax import workdir as folder
from i2i_jax.config import BadInput, RunFault, load, to_dict
from i2i_jax.data import images
from i2i_jax.describe import describe, parameter_count
from i2i_jax.writer import Writer


def train(
  config,
  workdir: Path,
  *,
  mesh_spec: str = '',
  init_from: Path | None = None,
  stop_at: int | None = None,
  profile: bool = False,
  command: str = '',
) -> int:
  """Trains up to config.steps, or only up to `stop_at`. Returns 0, or 128 + the signal that stopped it.

  A new run starts from the weights of the run in `init_from`, if one is named; `profile` records a few steps.
  """
  # ---------------------------------------------------------------------------------- check, create nothing
  check_counts(config)
  shardings = mesh.make(mesh_spec)
  check_batch(config, shardings)
  folder.check(workdir, config)
  train_data, val_data = data.get(config, 'train'), data.get(config, 'val')
  method = methods.get(config, steps_per_epoch=max(1, len(train_data) // config.batch_size))
  if 'ba' not in method.directions and not train_data.paired:
    raise BadInput(f'config.data.paired: {config.method} learns from pairs, and these images have none; use cyclegan')
  shapes = jax.eval_shape(method.init, jax.random.key(0), checkpoint.example_batch(config))
  stages = grow.stages(config)
  grow.check(config, method, shapes)
  end = min(config.steps, stop_at or config.steps)
  done = checkpoint.steps(workdir)
  if done and done[-1] >= end:
    print(f'{workdir} is complete: {done[-1]} of {end} steps done, nothing to train')
    return 0
  start = done[-1] if done else 0
  if profile and end - start < profiling.STEPS[-1]:
    raise BadInput(
      f'--profile: {end - start} steps are left to do, and it needs {profiling.STEPS[-1]}; raise config.steps'
    )
  checkpoint.check_room(workdir, shapes, copies=2, fault=BadInput)

  # ------------------------------------------------------------------------------------------- compile
  init_key, key = jax.random.split(jax.random.key(config.seed))
  key = jax.device_put(key, shardings.replicated)
  train_step = compiled_step(method, shardings)
  example = checkpoint.example_batch(config)
  placed = checkpoint.placed(shapes, shardings.replicated), checkpoint.placed(example, shardings.data)
  costs = cost.of(config, method, shapes, train_step, (*placed, key, grow.size_at(stages, config.steps)))
  print(cost.line(costs))
  memory.give_back()  # before there is a state: a process needs the room for compiling or for the state, not for both
  if not done:
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), example)
    state = methods.start(method, config, init_key, zeros, shardings.replicated)
    if init_from:
      state = checkpoint.start_from(state, checkpoint.load(init_from, shardings), f'--init_from {init_from}')

  with folder.lock(workdir), cli.Stop() as stop, checkpoint.manager(workdir, config) as checkpoints:
    # ------------------------------------------------------------------------------------ begin, or go on
    iterator = data.train_iterator(
      train_data, config, process_index=jax.process_index(), process_count=jax.process_count()
    )
    if done:
      meta = checkpoint.restore_meta(checkpoints, start)
      if meta['fingerprint'] != train_data.fingerprint:
        raise BadInput(
          f'{workdir}: the training data have changed since step {start}; to go on, give back the old data, or name '
          'another --workdir'
        )
      state = checkpoint.restore_state(checkpoints, start, placed[0])
      iterator.set_state(meta['data'])
      key = jax.device_put(jax.random.wrap_key_data(np.array(meta['rng'], np.uint32)), shardings.replicated)
      print(f'going on in {workdir} at step {start} of {config.steps}')
    folder.note_start(
      workdir,
      config,
      command=command,
      data={'train': len(train_data), 'val': len(val_data), 'fingerprint': train_data.fingerprint},
      columns=list(evaluate.sample_columns({d: lambda x: x for d in method.directions}, {'a': 0, 'b': 0})),
      parameters={name: parameter_count(params) for name, params in shapes.params.items()},
      cost=costs,
    )

    def save(step):
      if not bool(all_finite(state.params)):
        raise RunFault(f'step {step}: a parameter is not finite, and was not saved; {last_good(checkpoints)}')
      rng = np.asarray(jax.random.key_data(key)).tolist()
      meta = {'config': to_dict(config), 'fingerprint': train_data.fingerprint, 'rng': rng}
      checkpoint.save(checkpoints, step, state, {**meta, 'data': iterator.get_state()})

    # ------------------------------------------------------------------------------- save, look at, log
    @jax.jit
    def all_finite(tree):
      return jnp.all(jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]))

    predict = {
      direction: evaluate.predictor(method.translate, shardings, config.seed, direction=direction)
      for direction in method.directions
    }
    view = attention_maps.viewer(method, config)
    writer = Writer(workdir, step=start, steps=config.steps, batch_size=config.batch_size)

    def validate(step):
      """Scores and pictures of the validation split."""
      for direction in method.directions if val_data.paired else ():
        batches = evaluate.turned(data.eval_batches(val_data, config, evaluate.BATCH), direction)
        scores = evaluate.score({'val': functools.partial(predict[direction], state)}, batches)['val']
        suffix = '' if direction == 'ab' else f'_{direction}'
        writer.scalars(step, {f'val/{name}{suffix}': float(v.mean()) for name, v in scores.items()})
      if config.samples:
        batch = next(data.eval_batches(val_data, config, config.samples, limit=config.samples))
        columns = evaluate.sample_columns({d: functools.partial(p, state) for d, p in predict.items()}, batch)
        writer.grid(step, [[images.to_uint8(x) for x in row] for row in zip(*columns.values(), strict=True)])
        if view:
          pictures, names = attention_maps.rows(view, state, batch['a'])
          writer.grid(step, pictures, 'attention')
          folder.note(workdir, attention=names)

    def log(step, metrics):
      values = {name: float(value) for name, value in jax.device_get(metrics).items()}
      for name, value in values.items():
        if not np.isfinite(value):
          raise RunFault(f'step {step}: {name} is {value}; {last_good(checkpoints)}')
      if step % config.log_every == 0:
        writer.scalars(step, {**values, 'data/wait': waiting.share()})

    # ---------------------------------------------------------------------------------------------- loop
    if start == 0:
      validate(0)
    waiting = Waiting(iterator)
    late = None  # the metrics of the step before, fetched while the device computes
    began = time.monotonic()
    with contextlib.closing(writer), profiling.Trace(workdir, start if profile else None) as trace:
      for step in range(start + 1, end + 1):
        trace.before(step)
        local = next_batch(waiting)
        batch = jax.tree.map(lambda x: jax.make_array_from_process_local_data(shardings.data, x), local)
        with jax.transfer_guard('disallow'), jax.profiler.StepTraceAnnotation('train', step_num=step):
          state, metrics = train_step(state, batch, key, grow.size_at(stages, step - 1))
        trace.after(step, metrics)
        if late:
          log(*late)
        late = (step, metrics)
        writer.progress()

        last = step == end or stop.signal
        if last or step % config.checkpoint_every == 0 or step % config.eval_every == 0:
          log(*late)
          late = None
        if step % config.eval_every == 0 or step == config.steps:
          validate(step)
        if last or step % config.checkpoint_every == 0:
          save(step)
        if last:
          break
      checkpoint.wait(checkpoints)
    folder.note_time(workdir, time.monotonic() - began, writer.step_seconds())

  # ------------------------------------------------------------------------------------------------ finish
  if stop.signal:
    print(f'stopped at step {step} of {config.steps}, saved; the same command goes on from there')
    return 128 + stop.signal
  print(
    f'{workdir}: step {step} of {config.steps}, {1000 * writer.step_seconds():.0f} ms a step; '
    f'page: {report.write(workdir)}'
  )
  return 0


def compiled_step(method: methods.Method, shardings: mesh.Shardings):
  """The whole update, (state, batch, key) -> (state, metrics), as one program; the state is given away to it.

  A fourth argument, (height, width), is the size that the batch is brought to first: a program each.
  """

  def train_step(state, batch, key, size=None):
    return method.train_step(state, grow.downsized(batch, size), jax.random.fold_in(key, state.step))

  return compiling.jit(train_step, donate_argnums=0, static_argnums=3, out_shardings=shardings.replicated)


def check_counts(config):
  """Raises BadInput for a zero where the run needs at least one."""
  for name in ('steps', 'batch_size', 'log_every', 'eval_every', 'checkpoint_every', 'keep'):
    if config[name] < 1:
      raise BadInput(f'config.{name} = {config[name]} must be at least 1')
  for name in ('load_size', 'crop_size'):
    if len(config.data[name]) != 2 or min(config.data[name]) < 1:
      raise BadInput(f'config.data.{name} = {config.data[name]} must be (height, width) in pixels')


def check_batch(config, shardings: mesh.Shardings):
  if config.batch_size % shardings.devices:
    raise BadInput(
      f'config.batch_size = {config.batch_size} cannot be split over {shardings.devices} devices: make it a '
      'multiple, or use fewer devices, like --mesh data=1'
    )


class Waiting:
  """An iterator's batches, and the share of the time that was spent waiting for them."""

  def __init__(self, iterator):
    self.iterator, self.waited, self.since = iterator, 0.0, time.monotonic()

  def __next__(self):
    began = time.monotonic()
    batch = next(self.iterator)
    self.waited += time.monotonic() - began
    return batch

  def share(self) -> float:
    """From 0 to 1, of the time since the last call."""
    now = time.monotonic()
    share = self.waited / max(now - self.since, 1e-9)
    self.waited, self.since = 0.0, now
    return share


def next_batch(iterator) -> dict:
  try:
    return next(iterator)
  except BadInput as error:  # a file that went bad, or whose header was good and whose pixels are not
    raise RunFault(str(error)) from None


def last_good(checkpoints) -> str:
  step = checkpoints.latest_step()
  return 'no checkpoint was saved yet' if step is None else f'the checkpoint of step {step} is good'


def main() -> int:
  parser = cli.parser(__doc__, 'train')
  parser.add_argument('--config', required=True, metavar='FILE.py[:ARGUMENT]', help='what to train')
  parser.add_argument('--config.FIELD', metavar='VALUE', help='sets a field of the config', dest='_')
  parser.add_argument('--workdir', type=Path, help="the run's folder, made if it is not there")
  parser.add_argument('--mesh', default='', metavar='data=N', help='the number of devices; default: all')
  parser.add_argument('--init_from', type=Path, metavar='WORKDIR', help="start from another run's weights")
  parser.add_argument('--stop_at', type=int, metavar='STEP', help='end this session there; a later one goes on')
  parser.add_argument('--profile', action='store_true', help='record a few steps in WORKDIR/profile')
  parser.add_argument('--describe', action='store_true', help="print the nets' layers and parameters, and end")
  args, fields = parser.parse_known_args()
  config = load([f'--config={args.config}', *fields])
  if args.describe:
    print(describe(methods.get(config), config))
    return 0
  if not args.workdir:
    raise BadInput("--workdir is missing: name the run's folder, like --workdir=runs/x")
  command = shlex.join(['python', '-m', 'i2i_jax.train', *sys.argv[1:]])
  return train(
    config,
    args.workdir,
    mesh_spec=args.mesh,
    init_from=args.init_from,
    stop_at=args.stop_at,
    profile=args.profile,
    command=command,
  )


if __name__ == '__main__':
  cli.run(main)
