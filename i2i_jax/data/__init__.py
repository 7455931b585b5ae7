"""Data sources and the pipeline from them to batches.

The file name is the registry: `config.data.name = 'earth'` means `i2i_jax/data/sources/earth.py`, and a name with a
dot, like 'my_package.my_source', any module that Python finds. Such a file has one function, `source(config.data,
split)`, which returns random access to a split: `len(s)`, `s[i]` = {'a': uint8 [H, W, C], 'b': ..., 'name': str},
`s.paired`, and `s.fingerprint`, a string that changes when the data do. With `config.data.depth_a` = 16 or 32 the
images of a are uint16 or float32, and so for b. With `config.data.paired` off, the training split is an `Unpaired`:
two sets of images without partners. Where images belong together, like neighbouring tiles of one picture, `s.groups`
has a label of each: an interval then takes groups for independent, not images.

With `config.data.degrade` the input is made here of the target, at the size that nets see: anew each time in
training, always the same in evaluation. With `config.data.onehot` it is a label image, of which labels.py makes
channels.
"""

import functools
import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

import numpy as np
from ml_collections import ConfigDict

from i2i_jax import registry
from i2i_jax.data import degrade, images, jitter, labels, sources
from i2i_jax.errors import BadInput, choice

if TYPE_CHECKING:
  import grain  # of 8 MB, which only training needs

SPLITS = ('train', 'val', 'test')
LARGEST = 1 << 24  # pixels of an image as a net sees it in training, like 4096x4096
CACHE_BYTES = 1 << 30  # training images that need no more than this stay in memory, decoded


class Source(Protocol):
  """What `source(config.data, split)` returns."""

  paired: bool
  fingerprint: str

  def __len__(self) -> int: ...
  def __getitem__(self, index: int, /) -> dict: ...


class Unpaired:
  """Two sets of images. Training takes each a in turn and draws a b; an epoch is as long as the larger set."""

  paired = False

  def __init__(
    self, items_a: Sequence, items_b: Sequence, read: Callable, fingerprint: str, groups: Callable = str
  ) -> None:
    """`read(item, 'a' or 'b')` gives ([H, W, C] of the side's depth, name); `groups(item)` a label, see `groups`."""
    self.items, self.read, self.fingerprint, self.group_of = {'a': items_a, 'b': items_b}, read, fingerprint, groups

  def __len__(self) -> int:
    return max(map(len, self.items.values()))

  def pair(self, index_a: int, index_b: int) -> dict:
    a, name = self.read(self.items['a'][index_a % len(self.items['a'])], 'a')
    b, _ = self.read(self.items['b'][index_b % len(self.items['b'])], 'b')
    return {'a': a, 'b': b, 'name': name}

  def __getitem__(self, index: int) -> dict:
    return self.pair(index, index)

  def draw(self, index: int, rng: np.random.Generator) -> dict:
    return self.pair(index, int(rng.integers(len(self.items['b']))))


class Limited:
  """Some of the pairs, evenly spread over all."""

  def __init__(self, pairs: Source, limit: int) -> None:
    self.pairs, self.paired, self.chosen = pairs, pairs.paired, spread(len(pairs), limit)
    self.fingerprint = f'{pairs.fingerprint}-limit-{len(self.chosen)}'

  @property
  def groups(self) -> list[str]:
    labels_of_all = groups(self.pairs)
    return [labels_of_all[i] for i in self.chosen]

  def __len__(self) -> int:
    return len(self.chosen)

  def __getitem__(self, index: int) -> dict:
    return self.pairs[self.chosen[index]]


def limited(source: Source, limit: int) -> Source:
  """A training split of at most `limit` images, of each side where it has no pairs."""
  if not isinstance(source, Unpaired):
    return Limited(source, limit) if limit < len(source) else source
  items_a, items_b = ([items[i] for i in spread(len(items), limit)] for items in source.items.values())
  name = f'{source.fingerprint}-limit-{len(items_a)}-{len(items_b)}'
  return Unpaired(items_a, items_b, source.read, name, source.group_of)


class WrongPairs:
  """Pairs of which a share has another image's target, the same ones each time: what careless matching makes."""

  paired = True

  def __init__(self, pairs: Source, share: float, seed: int) -> None:
    self.pairs, self.partner = pairs, np.arange(len(pairs))
    # At least two, since one alone has nobody to exchange its target with.
    count = max(2, round(share * len(pairs)))
    wrong = np.random.default_rng([seed, count]).permutation(len(pairs))[:count]
    self.partner[wrong] = np.roll(wrong, 1)
    self.fingerprint = f'{pairs.fingerprint}-wrong-{count}-{seed}'

  @property
  def groups(self) -> list[str]:
    return groups(self.pairs)

  def __len__(self) -> int:
    return len(self.pairs)

  def __getitem__(self, index: int) -> dict:
    pair, partner = self.pairs[index], int(self.partner[index])
    return pair if partner == index else {**pair, 'b': self.pairs[partner]['b']}


SOURCES = registry.names(sources.__path__)


def get(config: ConfigDict, split: str) -> Source:
  """The random access to `split` of the source that config.data names, checked by reading its first pair."""
  choice('split', split, SPLITS)
  jitter.check(config.data)
  labelled, kinds, degraded = labels.of(config.data), images.kinds(config.data), degrade.of(config.data)
  if config.data.clip and all(kind.depth != 32 for kind in kinds.values()):
    raise BadInput('config.data.clip is for floats: set config.data.depth_a or depth_b to 32, or leave it out')
  try:
    source = module_of(config.data.name).source(labelled.asked(config.data) if labelled else config.data, split)
    source = labels.Coded(source, labelled) if labelled else source
    first = source[0]
  except OSError as error:  # a source of the user's own that reads a file which is not there
    raise BadInput(f'config.data.name = {config.data.name}: {error}') from None
  if any(load < crop for load, crop in zip(config.data.load_size, config.data.crop_size, strict=True)):
    raise BadInput(
      f'config.data.load_size {tuple(config.data.load_size)} is smaller than crop_size {tuple(config.data.crop_size)}'
    )
  if split == 'train' and (limit := config.data.get('limit', 0)):
    source = limited(source, limit)
  if split == 'train' and len(source) < config.batch_size:
    raise BadInput(
      f'config.batch_size = {config.batch_size}: too few images for a batch, the training split has {len(source)}'
    )
  if split == 'train' and not source.paired and not isinstance(source, Unpaired):
    raise BadInput(
      f'config.data.name = {config.data.name}: what it returns without pairs must be an i2i_jax.data.Unpaired'
    )
  for key in ('b',) if degraded else ('a', 'b'):
    images.check_form(first[key], kinds[key], first['name'])
  if degraded:
    degraded(first['b'], np.random.default_rng(0))  # raises where it does not do for such pictures
  if share := config.data.get('wrong_pairs', 0.0):
    if share > 1:
      raise BadInput(f'config.data.wrong_pairs = {share} is a share, from 0 to 1')
    if not config.data.paired:
      raise BadInput('config.data.wrong_pairs: images without pairs have no partners to exchange; set it to 0')
    if split == 'train':
      return WrongPairs(source, share, config.seed)
  return source


def check_sizes(config_data: ConfigDict) -> None:
  """Raises BadInput for sizes that no memory holds, before any is taken."""
  for name in ('load_size', 'crop_size'):
    if math.prod(config_data[name]) > LARGEST:
      raise BadInput(
        f'config.data.{name} = {tuple(config_data[name])} is more than {LARGEST:,} pixels: make it smaller; nets are '
        'trained on crops, and translate whole pictures with --size=full'
      )


def module_of(name: str) -> ModuleType:
  """The module of a source of this package, or of the user's own where `name` has a dot."""
  if '.' not in name:
    return registry.entry(sources.__name__, choice('config.data.name', name, SOURCES))
  return registry.outside(f'config.data.name = {name}', name, 'source(config.data, split)')


def groups(source: Source, side: str = 'a') -> list[str]:
  """The label of each image of a split: images of one label belong together; without `source.groups` none do."""
  if isinstance(source, Unpaired):
    items = source.items[side]
    return [source.group_of(items[index % len(items)]) for index in range(len(source))]
  return list(getattr(source, 'groups', map(str, range(len(source)))))


def split_of(key: str, shares: Mapping[str, float]) -> str:
  """The split of what `key` names, by a hash that is the same everywhere and always; what `shares` leave is train."""
  place = int.from_bytes(hashlib.sha256(os.fsencode(key)).digest()[:4], 'big') / 2**32
  for split, share in shares.items():
    if place < share:
      return split
    place -= share
  return 'train'


def check_ranges(source: Source, config_data: ConfigDict, split: str) -> None:
  """Reads all float images of a split, which training should not find out of range hours later.

  With config.data.clip it is said how many are.

  Raises:
    BadInput: some have values outside of config.data.range_a or range_b, or that are not finite.
  """
  for side, kind in images.kinds(config_data).items():
    if kind.depth != 32:
      continue
    outside, count, low, high = [], 0, math.inf, -math.inf
    for image, name in each(source, side):
      inside = images.within(image, kind._replace(clip=True), name)  # raises for all else that is wrong
      low, high, count = min(low, image.min()), max(high, image.max()), count + 1
      if inside is not image:
        outside.append(name)
    if outside:
      found = (
        f'{len(outside)} of {count} {split} images have values outside of config.data.range_{side} = {kind.span}: '
        f'from {low:g} to {high:g}; the first is {outside[0]}'
      )
      if not kind.clip:
        raise BadInput(f'{found}; widen it, or set config.data.clip=True')
      print(f'{found}; they are clipped')


def each(source: Source, side: str) -> Iterator[tuple[np.ndarray, str]]:
  """The images of a side, and their names."""
  if isinstance(source, Unpaired):
    yield from (source.read(item, side) for item in source.items[side])
  else:
    yield from ((pair[side], pair['name']) for pair in map(source.__getitem__, range(len(source))))


def at_load_size(source: Source, config_data: ConfigDict) -> Callable:
  """A function (index, rng) -> a training pair, its images resized to load_size as {'a': [H, W, C], 'b': ...}.

  With config.data.fit = 'cover' they cover it, and keep their shape. With config.data.degrade there is no a yet. Each
  is decoded and resized once, and kept, if all fit into CACHE_BYTES; else each time that it is asked for.
  """
  sides, kinds = 'b' if degrade.of(config_data) else 'ab', images.kinds(config_data)
  count = {k: len(source.items[k] if isinstance(source, Unpaired) else source) for k in sides}
  stretch, size = config_data.fit == 'stretch', config_data.load_size
  resized = functools.partial(images.resize if stretch else images.cover, size=size)
  pixels = math.prod(size if stretch else resized(source[0][sides[0]]).shape[:2])
  needed = sum(count[k] * pixels * kinds[k].channels * kinds[k].depth // 8 for k in sides)
  keep = functools.cache if needed <= CACHE_BYTES else lambda read: read

  if isinstance(source, Unpaired):

    @keep
    def read(item, side):
      image, name = source.read(item, side)
      return resized(images.within(image, kinds[side], name)), name

    return Unpaired(source.items['a'], source.items['b'], read, source.fingerprint).draw

  @keep
  def get(index):
    pair = source[index]
    return {k: resized(images.within(pair[k], kinds[k], pair['name'])) for k in sides}

  return lambda index, rng: get(index)


def augment(config_data: ConfigDict, paired: bool = True) -> Callable:
  """Training's view of a pair at load_size: a random crop, a random flip, other colours, floats in [-1, 1].

  All are the same for a and b, unless they are no pair.
  """
  encode, degraded = labels.encoders(config_data), degrade.of(config_data)
  strength = config_data.get('jitter', 0.0)

  def view(image, crops, flip):
    top, left = crops
    height, width = config_data.crop_size
    image = image[top : top + height, left : left + width]
    return image[:, ::-1] if flip else image

  def draw(image, rng: np.random.Generator):
    sizes = zip(image.shape[:2], config_data.crop_size, strict=True)
    return [int(rng.integers(load - crop + 1)) for load, crop in sizes], config_data.flip and rng.random() < 0.5

  def apply(pair, rng: np.random.Generator):
    if degraded:
      b = jitter.draw(strength, rng)(view(pair['b'], *draw(pair['b'], rng)))
      a = degraded(b, rng)
    else:
      first = draw(pair['a'], rng)
      second = first if paired else draw(pair['b'], rng)
      colours = jitter.draw(strength, rng)
      a = colours(view(pair['a'], *first))
      b = (colours if paired else jitter.draw(strength, rng))(view(pair['b'], *second))
    return {'a': encode['a'](a), 'b': encode['b'](b)}

  return apply


def train_iterator(
  source: Source, config: ConfigDict, *, process_index: int = 0, process_count: int = 1
) -> 'grain.DatasetIterator':
  """Endless shuffled batches {'a': float32 [B, H, W, C], 'b': ...} in [-1, 1].

  Each process gets a disjoint share of the images and of the batch. `get_state()` and `set_state()` of the
  iterator save and restore its position exactly.
  """
  import grain

  read, view = at_load_size(source, config.data), augment(config.data, source.paired)

  def example(index, rng: np.random.Generator):
    return view(read(index, rng), rng)

  data = grain.MapDataset.range(len(source)).seed(config.seed)
  data = data[process_index::process_count].shuffle().repeat()
  data = data.random_map(example)
  data = data.batch(config.batch_size // process_count, drop_remainder=True)
  options = grain.ReadOptions(num_threads=4, prefetch_buffer_size=8)
  return iter(data.to_iter_dataset(options))


def eval_batches(source: Source, config: ConfigDict, batch_size: int, limit: int | None = None) -> Iterator[dict]:
  """A split once, in order, or `limit` images evenly spread over it; the last batch may be smaller.

  Yields {'a', 'b': float32 [B, *crop_size, C] in [-1, 1], 'name': [str]}.
  """
  kinds, encode, degraded = images.kinds(config.data), labels.encoders(config.data), degrade.of(config.data)

  def read(index):
    pair = source[index]
    sides = {k: images.within(pair[k], kinds[k], pair['name']) for k in ('b' if degraded else 'ab')}
    sides = {k: images.fit(image, config.data.crop_size, config.data.fit) for k, image in sides.items()}
    if degraded:
      sides['a'] = degraded(sides['b'], np.random.default_rng(index))
    return {k: encode[k](image) for k, image in sides.items()} | {'name': pair['name']}

  indices = spread(len(source), limit or len(source))
  for start in range(0, len(indices), batch_size):
    pairs = [read(i) for i in indices[start : start + batch_size]]
    yield {k: np.stack([p[k] for p in pairs]) for k in 'ab'} | {'name': [p['name'] for p in pairs]}


def spread(count: int, limit: int) -> list[int]:
  """At most `limit` of range(count), evenly spread, the first and the last among them."""
  return np.unique(np.linspace(0, count - 1, min(limit, count)).round().astype(int)).tolist()
