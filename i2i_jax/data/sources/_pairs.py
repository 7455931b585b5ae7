"""What sources of pairs and of sets share: which side is the input, and which split stands in for another."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from i2i_jax.errors import BadInput, choice

# Which splits serve for one, in this order.
STAND_INS = {'train': ('train',), 'val': ('val', 'test', 'train'), 'test': ('test', 'val')}
OTHER = {'a': 'b', 'b': 'a'}

Read = Callable[[Any, str], tuple[np.ndarray, str]]  # (item, 'a' or 'b') -> (uint8 [H, W, C], name)


class Pairs:
  """Pairs whose sides are read apart, as those of `data.Unpaired` are: `read(item, side)` gives (image, name).

  `groups`, if given, has a label of each pair: those of one label belong together.
  """

  paired = True

  def __init__(self, items: Sequence, read: Read, fingerprint: str, groups: list[str] | None = None) -> None:
    self.items, self.read, self.fingerprint = items, read, fingerprint
    if groups is not None:
      self.groups = groups

  def __len__(self) -> int:
    return len(self.items)

  def __getitem__(self, index: int) -> dict:
    (a, name), (b, _) = (self.read(self.items[index], side) for side in 'ab')
    return {'a': a, 'b': b, 'name': name}


def sided(config: ConfigDict, read: Callable[[Any, str, int], tuple[np.ndarray, str]]) -> Read:
  """`read(item, place, channels)` of what lies in place a or b, as config.data.direction and the channels ask for it.

  Raises:
    BadInput: no such direction, or neither gray (1) nor RGB (3).
  """
  choice('config.data.direction', config.direction, ('ab', 'ba'))
  channels = {side: config[f'channels_{side}'] for side in 'ab'}
  for side, count in channels.items():
    if count not in (1, 3):
      raise BadInput(f'config.data.channels_{side} = {count}: these images have 1 (gray) or 3 (RGB) channels')
  return lambda item, side: read(item, side if config.direction == 'ab' else OTHER[side], channels[side])


def folder(path: str, what: str) -> Path:
  """The folder that config.data.path names. Raises BadInput, which says `what` it has to be, where there is none."""
  found = Path(path).expanduser()
  if not path or not found.is_dir():
    raise BadInput(f'config.data.path = {path!r} is no folder: give the one {what}')
  return found


def serving(split: str, there: Collection[str], where: object) -> str:
  """The split of those `there` that serves for `split`; says so where that is another.

  Raises:
    BadInput: none does.
  """
  name = next((name for name in STAND_INS[split] if name in there), None)
  if name is None:
    raise BadInput(f'{where}: no images for {split!r}; it has {", ".join(there) or "none at all"}')
  if name != split:
    print(f'{where}: there is no {split!r}, so {name!r} serves for it')
  return name
