"""A user's own images, in the two layouts in use.

side by side: `train/`, `val/`, `test/`, each picture holding A in its left and B in its right half.
two folders:  `trainA/ trainB/`, `testA/ testB/` (and `valA/ valB/`), matched by name without the ending; or of any
              counts and sizes, with `config.data.paired` off.

whole pictures: with `config.data.degrade`, whose inputs are made of them: `train/`, `val/`, `test/`, or a folder of
              pictures as it is, of which a tenth is then val and a tenth test.

Without a `val`, the `test` pictures serve for the samples drawn while training, and the other way round; without
both, the training pictures do. That is said when it happens.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from i2i_jax.data import Unpaired, degrade, fingerprints, formats, images, split_of
from i2i_jax.data.sources._pairs import STAND_INS
from i2i_jax.errors import BadInput, choice

SHARES = {'val': 0.1, 'test': 0.1}  # of a folder without train/, by names; the rest is train


class Pairs:
  """Random access to a split: {'a': [H, W, C] of the depth that the config says, 'b': ..., 'name': str}."""

  paired = True

  def __init__(self, files: list[tuple[Path, Path | None]], config: ConfigDict) -> None:
    self.files, self.swap = files, config.direction == 'ba'
    kinds = [(kind.channels, kind.depth) for kind in images.kinds(config).values()]
    self.wanted = kinds[::-1] if self.swap else kinds  # by the place in the file

  @functools.cached_property
  def fingerprint(self) -> str:
    return fingerprints.of_files(p for pair in self.files for p in pair if p)

  def __len__(self) -> int:
    return len(self.files)

  def __getitem__(self, index: int) -> dict:
    file_a, file_b = self.files[index]
    if file_b is None:
      both = formats.held(file_a)
      halves = np.split(both.values, 2, axis=1)
      left, right = (
        images.adapted(both._replace(values=half), file_a, *wanted)
        for half, wanted in zip(halves, self.wanted, strict=True)
      )
    else:
      left, right = images.read(file_a, *self.wanted[0]), images.read(file_b, *self.wanted[1])
    a, b = (right, left) if self.swap else (left, right)
    return {'a': a, 'b': b, 'name': file_a.stem}


class Pictures:
  """Random access to whole pictures, each its own partner: {'a': uint8 [H, W, C], 'b': the same, 'name': str}."""

  paired = True

  def __init__(self, files: list[Path], channels: int) -> None:
    self.files, self.channels = files, channels

  @functools.cached_property
  def fingerprint(self) -> str:
    return fingerprints.of_files(self.files)

  def __len__(self) -> int:
    return len(self.files)

  def __getitem__(self, index: int) -> dict:
    image = images.read(self.files[index], self.channels)
    return {'a': image, 'b': image, 'name': self.files[index].stem}


def source(config: ConfigDict, split: str) -> Pairs | Pictures | Unpaired:
  """The images of `split` in the folder `config.path`: pairs, or trainA/ and trainB/ of any counts and sizes.

  With `config.degrade` it holds whole pictures. Without pairs, valA/ and valB/, or testA/ and testB/, are paired for
  scores where their names are the same.

  Raises:
    BadInput: the folder is missing or empty, partners are missing, a picture's header can't be read.
  """
  root = Path(config.path).expanduser()
  if not config.path:
    raise BadInput('config.data.path is empty: give the folder of your images, --config.data.path=FOLDER')
  if not root.is_dir():
    raise BadInput(f'config.data.path: there is no folder {root}')
  choice('config.data.direction', config.direction, ('ab', 'ba'))
  whole = degrade.of(config) is not None
  ways: tuple[Callable, Callable] = (pairs_in, pairs_of) if config.paired else (sets_in, sets_of)
  find, build = (pictures_in, pictures_of) if whole else ways
  for name in STAND_INS[split]:
    if files := find(root, name):
      if name != split:
        print(f'{root}: there is no {split!r}, so {name!r} serves for it')
      if split != 'train' and name != 'train' and not config.paired and (pairs := partners(*files)):
        print(f'{root}: {name}A/ and {name}B/ have the same names, so images are paired by name for scores')
        return Pairs(pairs, config)
      return build(files, config)
  found = sorted(p.name for p in root.iterdir())[:8]
  wanted = STAND_INS[split][0]
  if whole:
    expected = f'pictures, or {wanted}/ with pictures'
  else:
    expected = (f'{wanted}/ (A and B side by side) or ' if config.paired else '') + f'{wanted}A/ and {wanted}B/'
  raise BadInput(f'{root}: no images for {wanted!r}: expected {expected}; found {", ".join(found) or "nothing"}')


def pairs_in(root: Path, name: str) -> list[tuple[Path, Path | None]]:
  single, folder_a, folder_b = root / name, root / f'{name}A', root / f'{name}B'
  if single.is_dir() and (files := images.list_images(single)):
    return [(p, None) for p in files]
  if not (folder_a.is_dir() and folder_b.is_dir()):
    return []
  by_stem_a, by_stem_b = by_stem(folder_a), by_stem(folder_b)
  for here, there, folder in ((by_stem_a, by_stem_b, folder_b), (by_stem_b, by_stem_a, folder_a)):
    if lone := sorted(here.keys() - there.keys()):
      raise BadInput(
        f'{here[lone[0]]} has no partner of the same name in {folder} '
        f'({len(by_stem_a)} images in A, {len(by_stem_b)} in B, {len(lone)} without a partner here)'
      )
  return [(by_stem_a[s], by_stem_b[s]) for s in sorted(by_stem_a)]


def pictures_in(root: Path, name: str) -> list[Path]:
  """In a folder that has no splits a picture's is a matter of its name: it stays there when others come."""
  if any((root / split).is_dir() for split in STAND_INS):
    return images.list_images(root / name) if (root / name).is_dir() else []
  return [file for file in images.list_images(root) if split_of(file.stem, SHARES) == name]


def pictures_of(files: list[Path], config: ConfigDict) -> Pictures:
  for file in files:
    images.size(file)  # raises where a header cannot be read
  return Pictures(files, config.channels_b)


def pairs_of(files: list[tuple[Path, Path | None]], config: ConfigDict) -> Pairs:
  for pair in files:
    check_sizes(*pair)
  return Pairs(files, config)


def sets_in(root: Path, name: str) -> tuple[list[Path], list[Path]] | None:
  folders = [root / f'{name}{side}' for side in 'AB']
  if not all(f.is_dir() for f in folders):
    return None
  sets = tuple(images.list_images(f) for f in folders)
  return sets if all(sets) else None


def partners(files_a: list[Path], files_b: list[Path]) -> list[tuple[Path, Path | None]]:
  """The pairs of two sets, by name without the ending; none unless each image has a partner."""
  by_stem_a, by_stem_b = ({file.stem: file for file in files} for files in (files_a, files_b))
  alike = by_stem_a.keys() == by_stem_b.keys() and len(by_stem_a) == len(files_a) and len(by_stem_b) == len(files_b)
  return [(by_stem_a[stem], by_stem_b[stem]) for stem in sorted(by_stem_a)] if alike else []


def sets_of(sets: tuple[list[Path], list[Path]], config: ConfigDict) -> Unpaired:
  files_a, files_b = sets
  for file in (*files_a, *files_b):
    images.size(file)  # raises where a header cannot be read
  if config.direction == 'ba':
    files_a, files_b = files_b, files_a
  kinds = images.kinds(config)
  return Unpaired(
    files_a,
    files_b,
    lambda file, side: (images.read(file, kinds[side].channels, kinds[side].depth), file.stem),
    fingerprints.of_files((*files_a, *files_b)),
  )


def by_stem(folder: Path) -> dict[str, Path]:
  """The images of a folder by name without the ending, which must tell them apart."""
  files = {}
  for file in images.list_images(folder):
    if file.stem in files:
      raise BadInput(f'{files[file.stem]} and {file.name} share the name {file.stem}: which is meant is not clear')
    files[file.stem] = file
  return files


def check_sizes(file_a: Path, file_b: Path | None) -> None:
  """Reads the headers only: a pair has one size, and a picture of both has two equal halves."""
  width, height = images.size(file_a)
  if file_b is None:
    if width % 2:
      raise BadInput(f'{file_a}: its width of {width} px is odd, so it has no halves A and B of equal size')
  elif (partner := images.size(file_b)) != (width, height):
    raise BadInput(
      f'{file_a} is {width}x{height} px, its partner {file_b} {partner[0]}x{partner[1]}: a pair must have one size'
    )
