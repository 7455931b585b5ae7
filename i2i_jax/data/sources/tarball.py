"""pix2pix's data sets as they are published: facades, maps, cityscapes, edges2shoes, edges2handbags, night2day.

`config.data.path` is the tar file that was downloaded. It holds facades/train/1.jpg and so on, in train, val and test
or some of them; each picture shows A in its left half and B in its right one. The halves are kept without loss as
records of TFDS in `config.data.dir`, TFDS's own folder if that is empty: a set for each tar file, which later runs
read. `config.data.direction` says which half is the input; docs/datasets.md has the papers' choice for each set.

With `config.data.paired` off, the halves of the training pictures are two sets; val and test keep their pairs.
"""

import collections
import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict
from tqdm import tqdm

from i2i_jax.data import SPLITS, Unpaired, images
from i2i_jax.data.sources import _archives, _pairs, _records
from i2i_jax.errors import BadInput

SHARD = 256  # pictures of one file of records, which are in memory while it is written
WANTED = 'a tar file of pictures that show A and B side by side, like facades.tar.gz'


@dataclasses.dataclass
class TarConfig(tfds.core.BuilderConfig):
  """`name` tells tar files apart; `counts` are the pictures of each split, for who writes the records."""

  file: Path = Path()
  counts: dict[str, int] = dataclasses.field(default_factory=dict)


class Halves(tfds.core.ShardBasedBuilder):
  """The halves of side-by-side pictures, in the tar file's order.

  The pictures are written as they are read. A GeneratorBasedBuilder would keep a split in memory to shuffle it, and
  needs TensorFlow for one of more than 1 GB.
  """

  VERSION = tfds.core.Version('1.0.0')

  def _info(self) -> tfds.core.DatasetInfo:
    half = tfds.features.Image(shape=(None, None, 3), encoding_format='png')
    features = tfds.features.FeaturesDict({'a': half, 'b': half, 'name': tfds.features.Text()})
    return tfds.core.DatasetInfo(builder=self, description=__doc__, features=features)

  def _shard_iterators_per_split(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[Callable]]:
    def shards(split, count):
      examples = halves(self.builder_config.file, split, count)
      return [functools.partial(itertools.islice, examples, SHARD) for _ in range(0, count, SHARD)]

    return {split: shards(split, count) for split, count in self.builder_config.counts.items()}


def where(name: PurePosixPath) -> tuple[str, str]:
  """The folder of a picture, which is its split, and the one that this is in; '' where there is none."""
  above, folder = (*[''] * 3, *name.parts)[-3:-1]
  return folder, above


def of(*splits: str) -> Callable[[PurePosixPath], bool]:
  """Whether a picture is in one of the splits."""
  return lambda name: where(name)[0] in splits


def halves(file: Path, split: str, count: int) -> Iterator[tuple[str, dict]]:
  """(key, features) of a split's pictures. Raises BadInput for one that cannot be decoded."""
  pictures = _archives.pictures(file, of(split))
  for name, data in tqdm(pictures, split, total=count, unit='picture', disable=None):
    both = images.read(Path(file.name, name), 3, data=data)
    half = both.shape[1] // 2
    yield str(name), {'a': _records.png(both[:, :half]), 'b': _records.png(both[:, half:]), 'name': name.stem}


def survey(file: Path) -> dict[str, int]:
  """The pictures of each split in a tar file.

  Raises:
    BadInput: a header cannot be read, a picture has no two halves, or there is none in a folder of a split's name.
  """
  counts = collections.Counter()
  for name, data in _archives.pictures(file, of(*SPLITS)):
    path = Path(file.name, name)
    width, _ = images.size(path, data=data)
    if width % 2:
      raise BadInput(f'{path}: its width of {width} px is odd, so it has no halves A and B of equal size')
    counts[where(name)[0]] += 1
  if not counts:
    raise BadInput(f'{file} holds no pictures in folders {", ".join(SPLITS)}: give {WANTED}')
  return {split: counts[split] for split in SPLITS if counts[split]}


def set_name(file: Path) -> str:
  """'facades-' and the file's fingerprint: the folder within the tar file, of which two different ones may exist."""
  first, _ = next(_archives.pictures(file, of(*SPLITS)), (PurePosixPath(), b''))
  folder = where(first)[1] or file.name.partition('.')[0]
  return f'{re.sub(r"[^A-Za-z0-9_]", "_", folder)}-{_archives.fingerprint(file)}'


def source(config: ConfigDict, split: str) -> _pairs.Pairs | Unpaired:
  """The pairs of a split in the tar file `config.path`; cut at first use, and kept in `config.dir`.

  Raises:
    BadInput: no such file, no tar file, no pictures in it, one without halves, no such direction.
  """
  file = _archives.given(config.path, WANTED)
  records: dict[str, Sequence[dict]] = {}

  def half(index: int, side: str, channels: int) -> tuple[np.ndarray, str]:
    record = records[side][index]
    return images.recolour(record[side], channels), record['name'].decode()

  read = _pairs.sided(config, half)
  builder = _records.quietly(Halves, config=TarConfig(name=set_name(file), file=file), data_dir=config.dir or None)
  if not builder.data_path.exists():
    builder.builder_config.counts = survey(file)  # raises before anything is written
    total = sum(builder.builder_config.counts.values())
    _records.prepare(builder, f'cutting the {total} pictures of {file} into halves')
  name = _pairs.serving(split, builder.info.splits, file)
  records |= {side: _records.read(builder, name, side) for side in 'ab'}
  items, fingerprint = range(len(records['a'])), f'{builder.info.full_name}-{name}-{len(records["a"])}'
  if config.paired or split != 'train':
    return _pairs.Pairs(items, read, fingerprint)
  return Unpaired(items, items, read, f'{fingerprint}-unpaired')
