"""What is to be said of a data set: lines for its user, each with what to do."""

from collections.abc import Iterator

import numpy as np
from ml_collections import ConfigDict

from i2i_jax import data
from i2i_jax.data import images
from i2i_jax.data.checks import duplicates, pairing
from i2i_jax.data.checks.pairing import Pairing
from i2i_jax.data.checks.survey import Seen, Split

SIDES = {'a': 'input', 'b': 'target'}
ENOUGH = 20  # images whose colours tell something of their split
SHIFT = 1.0  # of the training images' deviation
SHAPE = 1.25  # more than so much of a change of shape is said
QUICK = 100  # pairs that `train` looks at


def of_pairs(found: Pairing | None, names: list[str]) -> Iterator[str]:
  """Of whether pairs are pairs."""
  if found is None:
    return
  count = int(found.judged.sum())
  advice = 'where there are no pairs, train without: --config=cyclegan'
  if found.related >= pairing.ALARM:
    yield (
      f'the pairs match no better than shuffled ones (p = {found.related:.2g}, {count} pairs): they are none, or '
      f'not of the same thing, pixel over pixel; {advice}'
    )
  elif found.wrong < pairing.ALARM:
    worst = ', '.join(names[i] for i in found.order[:4])
    yield (
      f'about {100 * found.share:.0f}% of the pairs are wrong (p = {found.wrong:.1g}, {count} pairs): look at '
      f'{worst}; mend the names or leave them out; {advice}'
    )


def of_split(split: str, seen: Split, config: ConfigDict) -> Iterator[str]:
  """Of one split: what cannot be read, says nothing, is there twice, or changes its shape."""
  if seen.unreadable:
    yield f'{split}: {counted(len(seen.unreadable), "image")} cannot be read: {seen.unreadable[0]}'
  for side, of in seen.sides.items():
    where = f'{split}, {SIDES[side]}'
    if of.flat.any():
      yield f'{where}: of one colour: {listed(of.names, of.flat)}'
    if twins := duplicates.within(of.thumbnails[~of.flat]):
      names = [name for name, flat in zip(of.names, of.flat, strict=True) if not flat]
      first = twins[0]
      yield (
        f'{where}: {len({t.second for t in twins})} of {counted(len(of.names), "image")} there twice: '
        f'{names[first.first]} and {names[first.second]} show the same'
      )
    if of.gray.all():
      yield f'{where}: all images are gray in three channels: --config.data.channels_{side}=1'
    yield from of_sizes(where, of, config)


def of_sizes(where: str, images: Seen, config: ConfigDict) -> Iterator[str]:
  crop = np.array(config.data.crop_size)
  change = images.sizes / images.sizes[:, ::-1] / (crop / crop[::-1])
  change = np.maximum(change, 1 / change)[:, 0]
  if config.data.fit == 'stretch' and (change > SHAPE).any():
    worst = int(change.argmax())
    height, width = images.sizes[worst]
    yield (
      f'{where}: resizing to {crop[1]}x{crop[0]} changes the shape of {int((change > SHAPE).sum())} of '
      f'{counted(len(change), "image")}, like {images.names[worst]} of {width}x{height}: keep it by '
      '--config.data.fit=cover'
    )
  small = np.asarray((images.sizes < crop).any(1))
  if small.any():
    yield f'{where}: smaller than {crop[1]}x{crop[0]}, and will be enlarged: {listed(images.names, small)}'


def of_leaks(splits: dict[str, Split], found: dict[tuple[str, str], list[duplicates.Twins]]) -> Iterator[str]:
  """Of images that are in the training split too."""
  for (split, side), twins in found.items():
    if twins:
      here, there = (splits[name].sides[side].names for name in (split, 'train'))
      first = twins[0]
      how = f', {first.turn}' if first.turn else ''
      yield (
        f'{split}, {SIDES[side]}: {len(twins)} of {counted(len(here), "image")} in the training split too, so scores '
        f'will be too good: {here[first.first]} is {there[first.second]}{how}'
      )


def of_colours(splits: dict[str, Split]) -> Iterator[str]:
  """Of splits whose colours are not the training split's."""
  for split, seen in splits.items():
    for side in seen.sides.keys() & splits['train'].sides.keys():
      now, before = seen.sides[side].means, splits['train'].sides[side].means
      shift = np.abs(now.mean(0) - before.mean(0)) / np.maximum(before.std(0), 1)
      if min(len(now), len(before)) >= ENOUGH and shift.max() > SHIFT:
        here, there = (np.round(x.mean(0)).astype(int).tolist() for x in (now, before))
        yield f'{split}, {SIDES[side]}: on average of colour {here}, in the training split {there}'


def leaks(images: Seen, train: Seen) -> list[duplicates.Twins]:
  """Images that a split shares with the training split."""
  return [t for t in duplicates.between(images.thumbnails, train.thumbnails) if not images.flat[t.first]]


def counted(count: int, what: str) -> str:
  return f'{count} {what}' + ('s' if count > 1 else '')


def listed(names: list[str], which: np.ndarray) -> str:
  """'3 of 10 images (x, y, z)'."""
  chosen = [name for name, is_it in zip(names, which, strict=True) if is_it]
  more = ', ...' if len(chosen) > 3 else ''
  return f'{len(chosen)} of {counted(len(names), "image")} ({", ".join(chosen[:3])}{more})'


def sample(source: data.Source, config: ConfigDict, count: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
  """So many pairs, evenly spread, as nets see them but small: [N, h, w, C] of both sides, and names."""
  parts: dict[str, list] = {'a': [], 'b': [], 'name': []}
  for batch in data.eval_batches(source, config, 16, limit=count):
    for side in 'ab':
      parts[side].append(images.reduced(batch[side]))
    parts['name'] += batch['name']
  return np.concatenate(parts['a']), np.concatenate(parts['b']), parts['name']


def quick(source: data.Source, config: ConfigDict) -> list[str]:
  """What `train` warns of before it begins, from a hundred pairs; none that the config makes wrong on purpose."""
  if not source.paired or config.data.get('wrong_pairs') or len(source) < pairing.FEWEST:
    return []
  a, b, names = sample(source, config, QUICK)
  return list(of_pairs(pairing.judge(a, b), names))
