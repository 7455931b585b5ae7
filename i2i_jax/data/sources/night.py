"""The Earth by day and by night: the satellite picture in, the lights of its cities out, in tiles of 64 or 128 px.

  npm pack three-globe@2.45.2
  i2i train --config=pix2pix:data=night,path=three-globe-2.45.2.tgz --workdir=runs/night

`config.data.path` is that file of the npm package three-globe, which holds both pictures, of 4096x2048 px. They are
reduced and cut as the source `earth` cuts its own: the same blocks of the globe are in train, val and test, and tiles
show land by the same map of heights, so tiles of 64 px lie where the Earth's do. Training tiles overlap one another.
With `config.data.direction=ba` the lights are the input. Nothing is kept on the disk.
"""

import functools
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from i2i_jax.data import Unpaired, images
from i2i_jax.data.sources import _archives, _pairs, earth
from i2i_jax.errors import BadInput, choice

PICTURES = {'a': 'earth-day.jpg', 'b': 'earth-night.jpg'}
SCALES = {'64': 2, '128': 1.5}  # by the tiles' size: by how much the globe is smaller than the Earth's full scale
WANTED = 'three-globe-2.45.2.tgz, as `npm pack three-globe@2.45.2` leaves it'


@functools.lru_cache(maxsize=1)  # train and val are tiles of the same pictures
def load_pictures(file: Path, fingerprint: str, scale: float) -> dict[str, np.ndarray]:
  """The pictures by side, as uint8 [HEIGHT / scale, WIDTH / scale, 3]. `fingerprint` is the file's.

  Raises:
    BadInput: the file is no tar file, or lacks one of them.
  """
  size = int(earth.HEIGHT / scale), int(earth.WIDTH / scale)
  found = dict(_archives.pictures(file, lambda name: name.name in PICTURES.values()))
  by_name = {name.name: images.read(Path(file.name, name), 3, data=of) for name, of in found.items()}
  if missing := set(PICTURES.values()) - set(by_name):
    raise BadInput(f'{file} holds no {" and no ".join(sorted(missing))}: give {WANTED}')
  return {side: images.resize(by_name[name], size) for side, name in PICTURES.items()}


@functools.cache
def corners(split: str, size: int, scale: float) -> list[tuple[int, int]]:
  """Left and upper edges (x, y) of a split's tiles that are land enough, in pixels of the reduced pictures."""
  heights = earth.load_pictures(1, ['elevation'])['elevation']

  def land(x, y):
    left, top, right, bottom = (int(edge * scale) for edge in (x, y, x + size, y + size))
    return earth.land_share(heights[top:bottom, left:right])

  return [corner for corner in earth.tile_corners(split, size, scale) if land(*corner) >= earth.MIN_LAND]


def source(config: ConfigDict, split: str) -> _pairs.Pairs | Unpaired:
  """The split's tiles of `config.size` px from the pictures in the file `config.path`.

  With `config.paired` off, a and b of the training split come from different blocks; val and test keep their pairs.

  Raises:
    BadInput: no such file or size, a file without the pictures.
  """
  file = _archives.given(config.path, WANTED)
  scale, size = SCALES[choice('config.data.size', str(config.size), SCALES)], config.size
  fingerprint = _archives.fingerprint(file)
  pictures = load_pictures(file, fingerprint, scale)

  def tile(corner, side, channels):
    x, y = corner
    part = images.recolour(pictures[side][y : y + size, x : x + size], channels)
    return part, earth.place(x + size / 2, y + size / 2, scale)

  def block(corner):
    return '{},{}'.format(*earth.block_of(*corner, scale))

  read, found = _pairs.sided(config, tile), corners(split, size, scale)
  fingerprint = f'night-{fingerprint}-{size}-{split}-{len(found)}'
  if config.paired or split != 'train':
    return _pairs.Pairs(found, read, fingerprint, [block(corner) for corner in found])
  a, b = ([found[i] for i in half] for half in earth.halves([earth.block_of(*corner, scale) for corner in found]))
  return Unpaired(a, b, read, f'{fingerprint}-unpaired', block)
