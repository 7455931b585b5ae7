"""Files that are whole or not there, and disks that are full."""

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from i2i_jax.runtime import stopping

FULL = (errno.ENOSPC, errno.EDQUOT)


def replace(path: Path, content: bytes) -> None:
  """Writes a file under another name beside it first; a signal waits until it is there.

  Raises:
    OSError: what was there before stays. Of a full disk it says what is needed, see `named`.
  """
  part = path.with_name(f'.{os.getpid()}-{threading.get_ident()}.part')
  with stopping.hold(), named(path, len(content)):
    try:
      part.write_bytes(content)
      part.replace(path)
    except BaseException:
      with contextlib.suppress(OSError):
        part.unlink()
      raise


@contextlib.contextmanager
def named(path: Path, need: float = 0) -> Iterator[None]:
  """A full disk within is an OSError that names `path`, the bytes that are needed, if known, and those free."""
  try:
    yield
  except OSError as error:
    if error.errno not in FULL:
      raise
    raise OSError(error.errno, room(path, need), str(path)) from None


def room(path: Path, need: float = 0) -> str:
  existing = next(p for p in (path, *path.absolute().parents) if p.exists())
  free = f'{amount(shutil.disk_usage(existing).free)} are free'
  return f'{amount(need)} are needed, {free}' if need else free


def no_room(error: OSError) -> str:
  """One line of a full disk."""
  how = f': {error.strerror}' if (error.strerror or '').endswith('are free') else ''
  return f'{error.filename or "the disk"}: no room on disk{how}; make room and give the same command'


def amount(count: float) -> str:
  for unit, size in (('GB', 1e9), ('MB', 1e6), ('kB', 1e3)):
    if count >= size:
      return f'{count / size:.3g} {unit}'
  return f'{count:.0f} bytes'
