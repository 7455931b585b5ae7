"""Checkpoints with Orbax: the State and all that resuming needs, in one atomic step.

A step folder of `WORKDIR/checkpoints/` holds two items that are committed together: `state` (the State's arrays)
and `meta`, JSON with the config, the position in the data, the run's random key and the data's fingerprint.
"""

import contextlib
import itertools
import logging
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import orbax.checkpoint as ocp
from etils import epath
from flax.traverse_util import flatten_dict

from i2i_jax import methods
from i2i_jax.config import from_dict
from i2i_jax.errors import BadInput, RunFault
from i2i_jax.methods import base
from i2i_jax.runs import layout, stored
from i2i_jax.runtime import files, mesh, precision

OLDER = 'another --step may be whole; to resume from it, move this one away'
READ_BYTES = 40_000_000  # at a time, of weights that are to be used
NEEDED = weakref.WeakKeyDictionary[ocp.CheckpointManager, int]()  # bytes of what is being saved


@contextlib.contextmanager
def manager(workdir: Path, config: ml_collections.ConfigDict | None = None) -> Iterator[ocp.CheckpointManager]:
  """The manager of a run's checkpoints: read-only without a config. Raises RunFault where a save fails."""
  if config is None:
    options = ocp.CheckpointManagerOptions(read_only=True, create=False, save_interval_steps=0)
  else:
    options = ocp.CheckpointManagerOptions(
      max_to_keep=config.keep,
      keep_period=config.keep_every or None,
      cleanup_tmp_directories=True,
      # A deletion torn by a kill would leave a step that is listed but unreadable: rename, `wait` deletes.
      todelete_subdir='deleted',
    )
  folder, logger = epath.Path(workdir).absolute() / layout.CHECKPOINTS, logging.getLogger('absl')
  level = logger.level
  logger.setLevel(logging.CRITICAL)  # else Orbax warns that what is opened to be read cannot be written
  checkpoints = ocp.CheckpointManager(folder, options=options)
  logger.setLevel(level)
  try:
    yield checkpoints
  except BaseException:
    with contextlib.suppress(Exception):  # the first fault is the one to tell
      checkpoints.close()
    for torn in Path(folder).glob('*.orbax-checkpoint-tmp'):  # on a full disk it is in the way
      shutil.rmtree(torn, ignore_errors=True)
    raise
  with saving(checkpoints):
    checkpoints.close()


@contextlib.contextmanager
def saving(checkpoints: ocp.CheckpointManager) -> Iterator[None]:
  """What goes wrong within, or went wrong in Orbax's threads, becomes one line."""
  try:
    yield
  except Exception as error:  # Orbax passes on whatever its threads met
    reason = ' '.join(str(error).split())
    if 'No space left' in reason or 'RESOURCE_EXHAUSTED' in reason or 'quota exceeded' in reason:
      room = files.room(Path(checkpoints.directory), NEEDED.get(checkpoints, 0))
      reason = f'no room on disk: {room}; make room and give the same command'
    raise RunFault(f'{checkpoints.directory}: a checkpoint was not saved: {reason[:300]}') from None


def save(checkpoints: ocp.CheckpointManager, step: int, state: base.State, meta: dict) -> None:
  """Starts to save in the background; the step counts once `wait` has returned."""
  if checkpoints.latest_step() == step:
    return
  wait(checkpoints)  # for the save before, which Orbax would wait for too; it makes room
  NEEDED[checkpoints] = check_room(Path(checkpoints.directory), state)
  args = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta))
  with saving(checkpoints):
    checkpoints.save(step, args=args)


def wait(checkpoints: ocp.CheckpointManager) -> None:
  """Waits until what was saved is committed, and deletes checkpoints beyond config.keep."""
  with saving(checkpoints):
    checkpoints.wait_until_finished()
  shutil.rmtree(checkpoints.directory / 'deleted', ignore_errors=True)


def check_room(folder: Path, state: Any, copies: int = 1, fault: type[Exception] = RunFault) -> int:
  """The bytes of so many checkpoints of `state`. Raises `fault` where the disk has no room for them."""
  need = copies * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
  existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
  free = shutil.disk_usage(existing).free
  if free < need * 1.1 + (1 << 20):
    raise fault(
      f'{folder}: no room on disk: {copies} checkpoint(s) take {need / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free'
    )
  return need


def steps(workdir: Path) -> list[int]:
  """The committed steps of a run, oldest first."""
  folder = Path(workdir) / layout.CHECKPOINTS
  # A step that is just being saved has a longer name, and may have its metadata already.
  return sorted(
    int(p.name) for p in folder.glob('[0-9]*') if p.name.isdigit() and (p / '_CHECKPOINT_METADATA').exists()
  )


def pick(workdir: Path, step: int | None = None) -> int:
  """`step`, or the newest. Raises BadInput: no such folder, no checkpoint in it, not this one."""
  found = steps(workdir)
  if not Path(workdir).is_dir():
    raise BadInput(f'--workdir: there is no folder {workdir}')
  if not found:
    raise BadInput(f'--workdir: {workdir} holds no checkpoint: train first, or let training reach one')
  if step is not None and step not in found:
    raise BadInput(f'--step {step}: {workdir} holds the steps {", ".join(map(str, found))}')
  return found[-1] if step is None else step


def restore_meta(checkpoints: ocp.CheckpointManager, step: int) -> dict:
  """The JSON beside a step's arrays. Raises BadInput where it is damaged."""
  where = f'{checkpoints.directory}/{step}: its metadata'
  try:
    meta = checkpoints.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())).meta
  except (OSError, ValueError, KeyError, RecursionError) as error:
    reason = ' '.join(str(error).split())[:300]
    raise BadInput(f'{where} cannot be read: {reason}; {OLDER}') from None
  return stored.checked(meta, stored.META, where, OLDER)


def restore_state(checkpoints: ocp.CheckpointManager, step: int, target: Any) -> Any:
  """The State of a step, in the shapes, types and shardings of `target` (a tree of ShapeDtypeStruct).

  What is ocp.PLACEHOLDER there is not read, and stays one.
  """
  whole = ocp.PLACEHOLDER not in jax.tree.leaves(target)
  how = {} if whole else {'restore_args': ocp.checkpoint_utils.construct_restore_args(target)}
  args = (ocp.args.StandardRestore if whole else ocp.args.PyTreeRestore)(target, **how)
  try:
    return checkpoints.restore(step, args=ocp.args.Composite(state=args)).state
  except (OSError, ValueError, KeyError) as error:
    reason = str(error).strip().splitlines()[0]
    raise BadInput(f'{checkpoints.directory}/{step}: the checkpoint cannot be restored: {reason}') from None


def placed(shapes: Any, sharding: Any) -> Any:
  """A tree of ShapeDtypeStruct, all under one sharding: the target to restore into."""
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)


class Run(NamedTuple):
  """A trained run, as read from its folder."""

  config: ml_collections.ConfigDict
  method: base.Method
  state: base.State
  step: int


def load(workdir: Path, shardings: mesh.Shardings, step: int | None = None) -> Run:
  """Reads the weights of a run's newest checkpoint, or of that of `step`; its optimizers' state is left out."""
  run = outline(workdir, shardings, step)
  return read(workdir, run, base.weights(run.state))


def outline(
  workdir: Path, shardings: mesh.Shardings, step: int | None = None, test: dict[str, Any] | None = None
) -> Run:
  """A run whose State holds shapes in place of arrays. `test`: fields of config.test in place of the run's own."""
  step = pick(workdir, step)
  with manager(workdir) as checkpoints:
    config = from_dict(restore_meta(checkpoints, step)['config'], f'{checkpoints.directory}/{step}: its config')
  config.test.update(test or {})
  precision.check(config.precision)
  method = methods.get(config)
  shapes = jax.eval_shape(method.init, jax.random.key(0), example_batch(config))
  return Run(config, method, placed(shapes, shardings.replicated), step)


def read(workdir: Path, run: Run, part: base.State) -> Run:
  """An `outline` with `part` of its State as it was saved.

  The large arrays come first and few at a time: what Orbax needs besides them, as much again, is then never on top
  of all of them.
  """
  left = sorted(jax.tree.leaves_with_path(part), key=lambda leaf: -leaf[1].size)
  found: dict = {}
  with manager(workdir) as checkpoints:
    while left:
      sizes = itertools.accumulate(x.size * x.dtype.itemsize for _, x in left)
      count = max(1, sum(size <= READ_BYTES for size in sizes))
      now, left = {path for path, _ in left[:count]}, left[count:]
      target = jax.tree.map_with_path(lambda path, x, now=now: x if path in now else ocp.PLACEHOLDER, run.state)
      state = restore_state(checkpoints, run.step, target)
      found |= {path: x for path, x in jax.tree.leaves_with_path(state) if path in now}
  return run._replace(state=jax.tree.map_with_path(lambda path, _: found[path], part))


def start_from(state: base.State, run: Run, where: str) -> base.State:
  """`state` with the weights and running statistics of another run's nets; optimizers and step stay new.

  A run of one generator alone, as import_torch makes it, gives CycleGAN its generator from A to B. A run of
  pix2pixHD's global net alone gives a net with local enhancers its `coarse` part; a run whose discriminator has fewer
  scales, two at least, gives those of the smaller images. What has no counterpart there stays new.

  Raises:
    BadInput: naming the first parameter that one of the two lacks or has in another shape.
  """

  def adopted(ours: dict, theirs: dict, net: str) -> dict:
    if ours.keys() == theirs.keys() and ours.keys() in ({'ab', 'ba'}, {'a', 'b'}):
      return {k: adopted(ours[k], theirs[k], f'{net}/{k}') for k in ours}
    if 'ab' in ours and 'ab' not in theirs:
      return {**ours, 'ab': adopted(ours['ab'], theirs, net)}
    if 'coarse' in ours and 'coarse' not in theirs:
      return {**ours, 'coarse': adopted(ours['coarse'], {k: v for k, v in theirs.items() if k != 'head'}, net)}
    if 'discs_0' in ours and 'discs_0' in theirs:
      common = ours.keys() & theirs.keys()
      return {**ours, **{k: adopted(ours[k], theirs[k], net) for k in sorted(common)}}
    flat_ours, flat_theirs = flatten_dict(ours), flatten_dict(theirs)
    for path in sorted({*flat_ours, *flat_theirs}):
      shapes = [tuple(flat[path].shape) if path in flat else None for flat in (flat_theirs, flat_ours)]
      if shapes[0] != shapes[1]:
        raise BadInput(f'{where}: {net}/{"/".join(path)} has the shape {shapes[0]} there and {shapes[1]} here')
    return jax.tree.map(lambda a, b: jax.device_put(b.astype(a.dtype), a.sharding), ours, theirs)

  nets = [net for net in state.params if net in run.state.params]
  params = {net: adopted(state.params[net], run.state.params[net], net) for net in nets}
  old = run.state.extra['batch_stats']
  stats = {net: adopted(state.extra['batch_stats'][net], old[net], net) for net in nets if old[net]}
  extra = {**state.extra, 'batch_stats': {**state.extra['batch_stats'], **stats}}
  state = state.replace(params={**state.params, **params}, extra=extra)
  return base.with_average(state) if 'ema' in extra else state


def check_direction(run: Run, direction: str) -> None:
  if direction not in run.method.translators:
    raise BadInput(
      f'--direction {direction}: {run.config.method} translates {" and ".join(run.method.translators)} only'
    )


def example_batch(config: ml_collections.ConfigDict) -> dict:
  """Shapes of a training batch: what `Method.init` needs to know."""
  return {
    name: jax.ShapeDtypeStruct((config.batch_size, *config.data.crop_size, channels), jnp.float32)
    for name, channels in (('a', config.data.channels_a), ('b', config.data.channels_b))
  }
