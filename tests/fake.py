"""Made-up pairs, `config.data.name = 'tests.fake'`: smooth random images and a fixed function of them."""

import operator

import jax
import numpy as np

from i2i_jax.data import Unpaired, images

COUNTS = {'train': 16, 'val': 4, 'test': 4}


class Pairs:
  """a: smooth noise. b: a's mean over channels, inverted and tinted, so that a net can learn it quickly."""

  paired = True

  def __init__(self, split: str, size: tuple[int, int], channels_a: int, channels_b: int):
    self.split, self.size, self.channels = split, size, (channels_a, channels_b)
    self.fingerprint = f'fake-{split}-{size}-{self.channels}'

  def __len__(self):
    return COUNTS[self.split]

  def __getitem__(self, index):
    rng = np.random.default_rng([len(self.split), index])
    height, width = self.size
    a = images.resize(rng.integers(0, 256, (5, 7, self.channels[0]), np.uint8), (height, width))
    gray = 255 - a.mean(axis=-1, keepdims=True)
    tint = np.linspace(0.5, 1, self.channels[1])
    return {'a': a, 'b': (gray * tint).astype(np.uint8), 'name': f'{self.split}_{index:03d}'}


def source(config, split: str):
  pairs = Pairs(split, tuple(config.load_size), config.channels_a, config.channels_b)
  if config.paired or split != 'train':
    return pairs
  middle = len(pairs) // 2
  read = lambda index, side: operator.itemgetter(side, 'name')(pairs[index])  # noqa: E731
  return Unpaired(range(middle), range(middle, len(pairs)), read, f'{pairs.fingerprint}-unpaired')


def batch_of(config, count=8):
  """The first training pairs as a batch in [-1, 1]."""
  pairs = Pairs('train', tuple(config.data.crop_size), config.data.channels_a, config.data.channels_b)
  return {k: np.stack([pairs[i][k] for i in range(count)]).astype(np.float32) / 127.5 - 1 for k in ('a', 'b')}


def flat(tree):
  """All numbers of a tree in one row."""
  return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])
