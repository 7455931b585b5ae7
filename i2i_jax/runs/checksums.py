"""Checksums of a checkpoint's files, by which a damaged one is told from a good one.

A step's folder has `checksums.json`: the size of each file, and the SHA-256 of each PIECE of it. Pieces, since most
of a checkpoint is one large file, which several threads then share. It is written before the step's folder gets its
name, so there is no step without it but those of older versions.
"""

import functools
import json
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from i2i_jax.runs import layout
from i2i_jax.runtime.hashing import THREADS, sha256

PIECE = 32 << 20


def write(folder: Path) -> None:
  """Writes the checksums of all files that lie in `folder`."""
  sizes = {file.relative_to(folder).as_posix(): file.stat().st_size for file in folder.rglob('*') if file.is_file()}
  found = {'piece': PIECE, 'files': sums(folder, sizes, PIECE)}
  (folder / layout.CHECKSUMS).write_text(json.dumps(found, indent=1) + '\n')


def sums(folder: Path, sizes: dict[str, int], piece: int) -> dict[str, list]:
  """{file: [size, [SHA-256 of each piece]]}; hashlib lets other threads run while it computes."""
  places = [(name, start) for name, size in sizes.items() for start in range(0, max(size, 1), piece)]
  with ThreadPoolExecutor(THREADS) as pool:
    digests = list(pool.map(lambda place: sha256(folder / place[0], place[1], piece), places))
  found: dict[str, list] = {name: [size, []] for name, size in sizes.items()}
  for (name, _), digest in zip(places, digests, strict=True):
    found[name][1].append(digest)
  return found


def damage(folder: Path) -> str:
  """What is wrong with a step's files, in words; '' where they are as they were written, or of an older version.

  A command may ask more than once: files that were read are not read again while their sizes and times stay.
  """
  file = folder / layout.CHECKSUMS
  if not file.exists():
    return damage_without(folder)
  try:
    text = file.read_text()
    kept = json.loads(text)
    sizes = {name: int(size) for name, (size, _) in kept['files'].items()}
    piece = int(kept['piece'])
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    return f'{layout.CHECKSUMS} cannot be read'
  if piece < 1024 or not sizes:
    return f'{layout.CHECKSUMS} cannot be read'
  try:
    times = tuple(checked_time(folder, name, size) for name, size in sizes.items())
    return mismatch(folder, text, times)
  except (OSError, ValueError) as error:
    return str(error) if not isinstance(error, OSError) else f'{Path(error.filename or folder).name} cannot be read'


def checked_time(folder: Path, name: str, size: int) -> int:
  """When a file was changed. Raises ValueError where it is not there, or not of its size."""
  if Path(name).is_absolute() or '..' in Path(name).parts:
    raise ValueError(f'{layout.CHECKSUMS} cannot be read')
  try:
    found = (folder / name).lstat()
  except OSError:
    raise ValueError(f'{name} is missing') from None
  if not stat.S_ISREG(found.st_mode):
    raise ValueError(f'{name} is no file')
  if found.st_size != size:
    raise ValueError(f'{name} has {found.st_size:,} bytes and not {size:,}')
  return found.st_mtime_ns


@functools.lru_cache(maxsize=64)
def mismatch(folder: Path, text: str, times: Iterable[int]) -> str:
  """`damage` of files that are all there; `times` only tell one state of them from another."""
  del times
  kept = json.loads(text)
  found = sums(folder, {name: size for name, (size, _) in kept['files'].items()}, kept['piece'])
  wrong = [name for name, of in found.items() if of != kept['files'][name]]
  return f'{wrong[0]} is not what was written' if wrong else ''


def damage_without(folder: Path) -> str:
  """`damage` of a step that has no checksums: an older version's, whose arrays nothing can be said of, or a loss."""
  try:
    meta = json.loads((folder / 'meta' / 'metadata').read_text())
    written = layout.CHECKSUMS in meta
  except (OSError, ValueError, TypeError):
    return 'meta/metadata cannot be read'
  return f'{layout.CHECKSUMS} is missing' if written else ''
