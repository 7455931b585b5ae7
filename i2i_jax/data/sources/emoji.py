"""Emoji in two designs: Google's in, Twitter's of the same meaning out; some 3,800 pairs of 64 px, a change of style.

  npm pack emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0
  i2i train --config=pix2pix:data=emoji,path=. --workdir=runs/emoji

`config.data.path` is the folder with those two files of npm. Pictures are laid on white. A hash of the first code
point of an emoji puts it into train, val or test, so that all skin tones of one are in the same split. With
`config.data.direction=ba` Twitter's are the input. Nothing is kept on the disk.
"""

import functools
from pathlib import Path

from ml_collections import ConfigDict

from i2i_jax.data import Unpaired, images, split_of
from i2i_jax.data.sources import _archives, _pairs
from i2i_jax.errors import BadInput

DESIGNS = {'a': 'google', 'b': 'twitter'}
SIZE = '64'  # the folder of the pictures of 64 px
SHARES = {'val': 0.1, 'test': 0.1}  # of the first code points; the rest is train
PACK = '`npm pack emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0`'


def package(folder: Path, design: str) -> Path:
  """The file of a design's npm package in a folder. Raises BadInput where there is none, or several."""
  files = sorted(folder.glob(f'emoji-datasource-{design}-*.tgz'))
  if len(files) != 1:
    there = ' and '.join(file.name for file in files) or 'none'
    raise BadInput(f'{folder}: it must hold one emoji-datasource-{design}-*.tgz, as {PACK} makes it; found {there}')
  return files[0]


@functools.lru_cache(maxsize=2)  # of both designs, for each split
def load_pictures(file: Path, fingerprint: str, design: str) -> dict[str, bytes]:
  """The PNG files of an npm package's emoji, by their code points: '1f44b-1f3fd'. `fingerprint` is the file's."""
  found = _archives.pictures(file, lambda name: name.parts[-3:-1] == (design, SIZE))
  pictures = {name.stem: data for name, data in found}
  if not pictures:
    raise BadInput(f'{file} holds no pictures in img/{design}/{SIZE}: it is not of {PACK}')
  return pictures


def source(config: ConfigDict, split: str) -> _pairs.Pairs | Unpaired:
  """The split's emoji of both packages in the folder `config.path`.

  With `config.paired` off, a and b of the training split are emoji of different code points; val and test keep their
  pairs.

  Raises:
    BadInput: no such folder, a package is missing or holds no emoji.
  """
  folder = _pairs.folder(config.path, f'where {PACK} left its files')
  files = {side: package(folder, design) for side, design in DESIGNS.items()}
  prints = {side: _archives.fingerprint(file) for side, file in files.items()}
  pictures = {side: load_pictures(files[side], prints[side], design) for side, design in DESIGNS.items()}

  def emoji(name, side, channels):
    return images.read(files[side] / f'{name}.png', channels, data=pictures[side][name]), name

  def base(name):
    return name.partition('-')[0]

  read = _pairs.sided(config, emoji)
  names = sorted(
    name for name in pictures['a'].keys() & pictures['b'].keys() if split_of(base(name), SHARES) == split
  )
  fingerprint = f'emoji-{prints["a"]}-{prints["b"]}-{split}-{len(names)}'
  if config.paired or split != 'train':
    return _pairs.Pairs(names, read, fingerprint, [base(name) for name in names])
  bases = sorted({base(name) for name in names})
  a, b = ([name for name in names if base(name) in set(bases[half::2])] for half in (0, 1))
  return Unpaired(a, b, read, f'{fingerprint}-unpaired', base)
