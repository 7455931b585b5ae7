"""Checkpoints with Orbax: the State and all that resuming needs, in one atomic step.

A step folder of `WORKDIR/checkpoints/` holds two items that are committed together: `state` (the State's arrays)
and `meta`, JSON with the config, the position in the data, the run's random key and the data's fingerprint. Beside
them lie the checksums of all files (checksums.py), by which a step is looked at before it is read.
"""

import asyncio
import contextlib
import functools
import itertools
import logging
import shutil
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import orbax.checkpoint as ocp
from etils import epath

from i2i_jax import methods
from i2i_jax.config import from_dict
from i2i_jax.errors import BadInput, RunFault
from i2i_jax.methods import base
from i2i_jax.runs import checksums, layout, stored
from i2i_jax.runtime import files, mesh, precision

OLDER = 'another --step may be whole; to resume from it, move this one away'
READ_BYTES = 40_000_000  # at a time, of weights that are to be used
NEEDED = weakref.WeakKeyDictionary[ocp.CheckpointManager, int]()  # bytes of what is being saved
TRIES = 20  # to read the newest step while training deletes it


class Sealed(ocp.path.atomicity.AtomicRenameTemporaryPath):
  """A step's folder while it is written: it gets its name when the checksums of all its files are in it."""

  async def finalize(self) -> None:
    final: epath.Path = self._final_path  # type: ignore[has-type]
    if not final.name.isdigit():  # `state` or `meta`, within a step
      return await super().finalize()
    # Orbax writes into the folder until it renames it; by this name it would still clean it up.
    self._final_path: epath.Path = final.with_name(f'{self._tmp_path.name}-done')
    await super().finalize()
    await asyncio.to_thread(checksums.write, Path(self._final_path))
    Path(self._final_path).rename(final)
    self._final_path = final


@contextlib.contextmanager
def manager(workdir: Path, config: ml_collections.ConfigDict | None = None) -> Iterator[ocp.CheckpointManager]:
  """The manager of a run's checkpoints: read-only without a config. Raises RunFault where a save fails.

  To write, the caller holds the run's lock: what is damaged or no checkpoint is then set aside.
  """
  if config is None:
    options = ocp.CheckpointManagerOptions(read_only=True, create=False, save_interval_steps=0)
  else:
    options = ocp.CheckpointManagerOptions(
      max_to_keep=config.keep,
      keep_period=config.keep_every or None,
      cleanup_tmp_directories=True,
      # A deletion torn by a kill would leave a step that is listed but unreadable: rename, `wait` deletes.
      todelete_subdir='deleted',
      temporary_path_class=Sealed,
    )
    if jax.process_index() == 0:
      set_aside(workdir)
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
  wait(checkpoints)  # for the save before, which Orbax would wait for too; it makes room
  if step in steps(Path(checkpoints.directory).parent):  # a signal came as it was saved
    return
  NEEDED[checkpoints] = check_room(Path(checkpoints.directory), state)
  meta = {**meta, layout.CHECKSUMS: True, 'arrays': described(state)}
  args = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta))
  with saving(checkpoints):
    if not checkpoints.save(step, args=args):
      raise ValueError(f'step {step} is there already, or a later one')


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
  """The committed steps of a run, oldest first; whether their files are good is for `damage` to say."""
  folder = Path(workdir) / layout.CHECKPOINTS
  marks = (layout.CHECKSUMS, '_CHECKPOINT_METADATA')  # the second alone in older versions
  return sorted(
    int(p.name)
    for p in folder.glob('[0-9]*')
    # A step that is just being saved has a longer name, and may have its metadata already.
    if p.name.isdecimal() and p.name == str(int(p.name)) and any((p / mark).exists() for mark in marks)
  )


def folder_of(workdir: Path, step: int) -> Path:
  return Path(workdir) / layout.CHECKPOINTS / str(step)


def newest(workdir: Path, tell: Callable[[str], None] = lambda text: None) -> int | None:
  """The newest step whose files are good, None where there is no step; `tell` is given a line for each passed over.

  Raises:
    BadInput: there are steps, and each is damaged.
  """
  for _ in range(TRIES):
    found, damaged = steps(workdir), {}
    for step in reversed(found):
      if why := checksums.damage(folder_of(workdir, step)):
        damaged[step] = why
        continue
      for worse, reason in damaged.items():
        tell(f'{folder_of(workdir, worse)} is damaged ({reason}); step {step} is used instead')
      return step
    if steps(workdir) == found:  # else training deleted some meanwhile
      break
  if not found:
    return None
  raise BadInput(
    f'{workdir}: no checkpoint is good: {found[-1]} is damaged ({damaged[found[-1]]}); restore a copy of one, '
    'or name another --workdir'
  )


@functools.cache
def warn(text: str) -> None:
  """Says it on stderr, once a process."""
  print(f'warning: {text}', file=sys.stderr)


def set_aside(workdir: Path) -> None:
  """Moves damaged steps, down to the newest good one, and numbered folders that are none into `damaged/`."""
  folder, good = Path(workdir) / layout.CHECKPOINTS, newest(workdir)
  known = steps(workdir)
  for path in sorted(folder.glob('[0-9]*')):
    if not path.name.isdecimal() or (int(path.name) in known and int(path.name) <= (good or 0)):
      continue
    why = f'damaged ({checksums.damage(path)})' if int(path.name) in known else 'no checkpoint'
    target = folder / layout.DAMAGED / path.name
    for count in itertools.count(2):
      if not target.exists():
        break
      target = target.with_name(f'{path.name}-{count}')
    target.parent.mkdir(exist_ok=True)
    path.rename(target)
    print(f'warning: {path} is {why}: set aside as {target}', file=sys.stderr)


def pick(workdir: Path, step: int | None = None) -> int:
  """`step`, or the newest that is good; its files are looked at.

  Raises:
    BadInput: no such folder, no checkpoint in it, not this one, or this one is damaged.
  """
  if not Path(workdir).is_dir():
    raise BadInput(f'--workdir: there is no folder {workdir}')
  if step is None:
    if (step := newest(workdir, warn)) is None:
      raise BadInput(f'--workdir: {workdir} holds no checkpoint: train first, or let training reach one')
    return step
  found = steps(workdir)
  if step not in found:
    raise BadInput(f'--step {step}: {workdir} holds the steps {", ".join(map(str, found)) or "none"}')
  if why := checksums.damage(folder_of(workdir, step)):
    raise BadInput(
      f'--step {step}: {folder_of(workdir, step)} is damaged ({why}); name another, or leave --step out for the '
      'newest that is good'
    )
  return step


def reading(workdir: Path, step: int | None, read: Callable[[int], Any]) -> Any:
  """`read` of the step that `pick` gives.

  Training may delete the newest step while it is read: then the one that is newest now is read. A step that is named
  is not replaced.
  """
  for _ in range(TRIES):
    at = pick(workdir, step)
    try:
      found = read(at)
    except Exception:
      if at in steps(workdir):
        raise
    else:
      if at in steps(workdir):  # else some arrays may have been read as zeros
        return found
    if step is not None:
      break
  raise BadInput(f'{workdir}: step {at} was deleted by training while it was read; try again, or raise config.keep')


def restore_meta(checkpoints: ocp.CheckpointManager, step: int) -> dict:
  """The JSON beside a step's arrays. Raises BadInput where it is damaged."""
  with restoring(checkpoints, step):
    meta = checkpoints.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())).meta
  return stored.checked(meta, stored.META, f'{checkpoints.directory}/{step}: its metadata', OLDER)


@contextlib.contextmanager
def restoring(checkpoints: ocp.CheckpointManager, step: int) -> Iterator[None]:
  try:
    yield
  except Exception as error:  # of an older version's step, whose files nothing could be said of
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
    raise BadInput(
      f'{checkpoints.directory / str(step)}: the checkpoint cannot be restored: {reason}; move it away to go on '
      'from the one before'
    ) from None


def restore_state(checkpoints: ocp.CheckpointManager, step: int, target: Any) -> Any:
  """The State of a step, in the shapes, types and shardings of `target` (a tree of ShapeDtypeStruct).

  What is ocp.PLACEHOLDER there is not read, and stays one.

  Raises:
    BadInput: the step's arrays are of other names, shapes or types, which it names; or cannot be read.
  """
  whole = ocp.PLACEHOLDER not in jax.tree.leaves(target)
  check_arrays(checkpoints, step, target, whole)
  how = {} if whole else {'restore_args': ocp.checkpoint_utils.construct_restore_args(target)}
  args = (ocp.args.StandardRestore if whole else ocp.args.PyTreeRestore)(target, **how)
  with restoring(checkpoints, step):
    return checkpoints.restore(step, args=ocp.args.Composite(state=args)).state


def described(tree: Any) -> dict[str, str]:
  """{'params/gen/down0/kernel': 'float32[4,4,3,64]', ...} of arrays or their shapes."""
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): f'{x.dtype}[{",".join(map(str, x.shape))}]'
    for path, x in jax.tree.leaves_with_path(tree)
    if x is not ocp.PLACEHOLDER
  }


def check_arrays(checkpoints: ocp.CheckpointManager, step: int, target: Any, whole: bool) -> None:
  """Raises BadInput where a step's arrays are not those of `target`, of which some may do unless it is `whole`.

  Orbax names no array whose shape differs, and casts from one type to another without a word. Older versions did not
  note what they saved.
  """
  saved, here = restore_meta(checkpoints, step).get('arrays'), described(target)
  if saved is None:
    return
  names = {*saved, *here} if whole else here
  if wrong := [name for name in sorted(names) if saved.get(name) != here.get(name)]:
    told = '; '.join(f'{name}: {saved.get(name, "(none)")} -> {here.get(name, "(none)")}' for name in wrong[:4])
    raise BadInput(
      f'{checkpoints.directory / str(step)}: its arrays are not those of this config ({told}'
      f'{f"; and {len(wrong) - 4} more" if len(wrong) > 4 else ""}): give the config and code that made it'
    )


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
  return read(workdir, run, base.weights(run.state), step)


def outline(
  workdir: Path, shardings: mesh.Shardings, step: int | None = None, test: dict[str, Any] | None = None
) -> Run:
  """A run whose State holds shapes in place of arrays. `test`: fields of config.test in place of the run's own."""

  def config_of(step: int) -> tuple[int, ml_collections.ConfigDict]:
    with manager(workdir) as checkpoints:
      meta = restore_meta(checkpoints, step)
    return step, from_dict(meta['config'], f'{checkpoints.directory}/{step}: its config')

  step, config = reading(workdir, step, config_of)
  config.test.update(test or {})
  precision.check(config.precision)
  method = methods.get(config)
  shapes = jax.eval_shape(method.init, jax.random.key(0), example_batch(config))
  return Run(config, method, placed(shapes, shardings.replicated), step)


def read(workdir: Path, run: Run, part: base.State, step: int | None = None) -> Run:
  """An `outline` with `part` of its State as it was saved at `step`, or at the newest.

  The large arrays come first and few at a time: what Orbax needs besides them, as much again, is then never on top
  of all of them.
  """

  def arrays(step: int) -> tuple[int, Any]:
    left = sorted(jax.tree.leaves_with_path(part), key=lambda leaf: -leaf[1].size)
    found: dict = {}
    with manager(workdir) as checkpoints:
      while left:
        sizes = itertools.accumulate(x.size * x.dtype.itemsize for _, x in left)
        count = max(1, sum(size <= READ_BYTES for size in sizes))
        now, left = {path for path, _ in left[:count]}, left[count:]
        target = jax.tree.map_with_path(lambda path, x, now=now: x if path in now else ocp.PLACEHOLDER, run.state)
        state = restore_state(checkpoints, step, target)
        found |= {path: x for path, x in jax.tree.leaves_with_path(state) if path in now}
    return step, jax.tree.map_with_path(lambda path, _: found[path], part)

  step, state = reading(workdir, step, arrays)
  return run._replace(state=state, step=step)


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
