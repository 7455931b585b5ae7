"""A run's folder: whose it is, who writes in it, and the notes in it that say how it came to be."""

import contextlib
import datetime
import fcntl
import json
import os
import platform
from collections.abc import Collection, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from i2i_jax import __version__
from i2i_jax.config import completed, differences, to_dict
from i2i_jax.errors import BadInput
from i2i_jax.runs import layout, stored
from i2i_jax.runtime import files

# What a resumed run may be given anew: how long it runs, and how often it writes.
MAY_CHANGE = ('steps', 'writers', 'log_every', 'eval_every', 'checkpoint_every', 'keep', 'keep_every', 'samples')


def check(workdir: Path, config: ConfigDict) -> None:
  """Raises BadInput unless `workdir` is new, empty, or holds a run of the same config."""
  file = workdir / layout.CONFIG
  if not file.exists():
    # A run that was killed while it began has an empty folder of checkpoints and no config yet.
    check_empty(workdir, 'run', () if any((workdir / layout.CHECKPOINTS).glob('*')) else (layout.CHECKPOINTS,))
    return
  old = read_config(workdir)
  before, now = ({k: v for k, v in c.items() if k not in MAY_CHANGE} for c in (old, to_dict(config)))
  if changed := differences(before, now):
    raise BadInput(
      f"--workdir: {workdir} holds another config's run ({'; '.join(changed[:4])}); name another folder, or give "
      'the same config to resume it'
    )


def check_empty(workdir: Path, kind: str, ours: Collection[str] = (), option: str = '--workdir') -> None:
  """Raises BadInput where something else than `ours` is there, since nothing marks it as a `kind` of ours."""
  if not workdir.exists():
    return
  if not workdir.is_dir():
    raise BadInput(f'{option}: {workdir} is a file')
  if foreign := sorted(p.name for p in workdir.iterdir() if not p.name.startswith('.') and p.name not in ours):
    raise BadInput(f'{option}: {workdir} is not empty and no {kind} of ours (it holds {foreign[0]}); name another')


@contextlib.contextmanager
def lock(workdir: Path) -> Iterator[None]:
  """Makes the folder and holds it: a second process that would write into it is refused."""
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    file = open(workdir / layout.LOCK, 'a+', errors='replace')  # noqa: SIM115 (held until the block ends)
  except OSError as error:
    raise BadInput(f'--workdir: {workdir} cannot be written: {error.strerror}') from None
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
      file.seek(0)
      raise BadInput(f'--workdir: {workdir} is being written by process {file.read().strip()}') from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    yield


def write_text(path: Path, text: str) -> None:
  """Writes under another name first, so that the file is whole or not there."""
  files.replace(path, text.encode())


def write_json(path: Path, value: Any) -> None:
  write_text(path, json.dumps(value, indent=2) + '\n')


def read_config(workdir: Path) -> dict:
  """The config of a run, `completed`; where config.json is damaged, with a warning that of its newest checkpoint.

  Raises:
    BadInput: there is no run, or no config that can be read.
  """
  file = workdir / layout.CONFIG
  if not file.exists():
    raise BadInput(f'--workdir: {workdir} holds no run (no config.json)')
  try:
    return completed(stored.read_json(file), str(file))
  except BadInput as error:
    saved = sorted(workdir.glob(layout.saved_meta('[0-9]*')), key=lambda path: int(path.parts[-3]))
    if not saved:
      raise BadInput(f'{error}; name another --workdir') from None
    config = completed(stored.read_json(saved[-1], {'config': dict})['config'], str(saved[-1]))
    stored.warn(f"{error}; its newest checkpoint's is taken")
    return config


def read_notes(workdir: Path) -> dict:
  return stored.read_or({}, workdir / layout.NOTES, stored.NOTES, 'what it said of earlier sessions is left out')


def note_start(
  workdir: Path,
  config: ConfigDict,
  *,
  command: str,
  data: dict,
  columns: list[str],
  parameters: dict[str, int],
  cost: dict[str, float],
) -> None:
  """Writes config.json, and run.json: the command, data, parameters, costs, machine, versions."""
  import jax  # a second's work, which what is refused early does not wait for

  write_json(workdir / layout.CONFIG, to_dict(config))
  notes = read_notes(workdir)
  write_json(
    workdir / layout.NOTES,
    {
      'started': datetime.datetime.now().astimezone().isoformat(timespec='seconds'),
      'seconds': 0.0,
      **notes,
      'command': command,
      'data': data,
      'columns': columns,  # of the pictures in samples/
      'parameters': parameters,
      'cost': {**notes.get('cost', {}), **cost},
      'devices': f'{jax.device_count()} x {jax.devices()[0].device_kind}, {os.cpu_count()} CPU cores',
      'versions': versions('jax', 'flax', 'optax', 'orbax-checkpoint'),
    },
  )


def versions(*packages: str) -> dict[str, str]:
  """Of Python, of this package (by its own word: a clone on the path is not installed) and of `packages`."""
  return {
    'python': platform.python_version(),
    'i2i_jax': __version__,
    **{name: version(name) for name in packages},
  }


def note(workdir: Path, **notes: Any) -> None:
  """Adds to run.json."""
  write_json(workdir / layout.NOTES, {**read_notes(workdir), **notes})


def note_time(workdir: Path, seconds: float, step_seconds: float) -> None:
  """Adds to the time that run.json says was spent training, over all its sessions; and notes what a step takes."""
  notes = read_notes(workdir)
  took = {'step_seconds': step_seconds} if step_seconds else {}  # a session of one step has no time of a step
  note(workdir, seconds=notes.get('seconds', 0.0) + seconds, cost={**notes.get('cost', {}), **took})
