"""Files that a command leaves: where they may lie, and their names."""

import hashlib
import itertools
import os
import tempfile
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path

from i2i_jax.errors import BadInput
from i2i_jax.runtime import files

LONGEST = 255  # bytes of a name, on the disks that there are


def folder(path: Path, option: str) -> None:
  """Makes a folder that can be written. Raises BadInput, which names the option, where that cannot be."""
  try:
    path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path):
      pass
  except OSError as error:
    full = error.errno in files.FULL
    reason = 'no room on disk' if full else (error.strerror or str(error)).lower()
    raise BadInput(f'{option}: {path} cannot be written: {reason}') from None


def apart(output: Path, inputs: Collection[Path], option: str = '--output') -> None:
  """Raises BadInput where `output` is the folder of some input, under whatever name."""
  if not output.is_dir():
    return
  for place in {file.parent for file in inputs}:
    if output.samefile(place):
      raise BadInput(f'{option}: {output} is the folder of the inputs, which are never replaced; give another folder')


def names(files: Sequence[Path], endings: Sequence[str]) -> list[str]:
  """A name for the output of each file, different ones on disks that take `A` and `a` for one, too.

  That of its input with another ending; where inputs share it, and for what that would collide with, the whole name
  and the ending: a.jpg.png and a.png.png.
  """
  whole: set[int] = set()
  while True:
    found = [(f.name if i in whole else f.stem) + endings[i] for i, f in enumerate(files)]
    same = [i for i, name in enumerate(found) if [folded(n) for n in found].count(folded(name)) > 1]
    if not set(same) - whole:
      break
    whole.update(same)
  taken: set[str] = set()
  for i, file in enumerate(files):
    tries = (f'{file.name}-{count}{endings[i]}' for count in itertools.count(2))
    found[i] = next(name for name in itertools.chain([found[i]], tries) if folded(name) not in taken)
    taken.add(folded(found[i]))
  return found


def folded(name: str) -> str:
  return unicodedata.normalize('NFC', name).casefold()


def short(name: str, ending: str) -> str:
  """A file's name that stays in its folder and fits on a disk, of what a data set calls an image."""
  plain = ''.join('_' if c in '/\\\0' or not c.isprintable() else c for c in name).lstrip('.') or '_'
  if plain == name and len(os.fsencode(name + ending)) <= LONGEST:
    return name + ending
  mark = '-' + hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
  while len(os.fsencode(plain + mark + ending)) > LONGEST:
    plain = plain[:-1]
  return plain + mark + ending
