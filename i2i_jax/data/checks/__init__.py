"""A look at a data set before days are spent on it: see `i2i check --help`."""

from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from i2i_jax import data
from i2i_jax.data.checks import findings, pairing
from i2i_jax.data.checks.duplicates import Twins
from i2i_jax.data.checks.findings import quick
from i2i_jax.data.checks.pairing import Pairing
from i2i_jax.data.checks.survey import Seen, Split, survey

__all__ = ['Result', 'quick', 'run']

PAIRS = 400  # of the training split that are judged


class Result(NamedTuple):
  findings: list[str]  # lines for the user
  splits: dict[str, Split]
  pairing: Pairing | None  # of the training split
  judged: list[int]  # places of the pairs that were
  leaks: dict[tuple[str, str], list[Twins]]  # by split and side
  values: dict[str, Any]  # for check.json


def run(sources: dict[str, Any], config: ConfigDict) -> Result:
  """Looks at all splits; one that stands in for another is read once."""
  splits: dict[str, Split] = {}
  for split, source in sources.items():
    if source.fingerprint not in {other.fingerprint for other in splits.values()}:
      splits[split] = survey(source, config, split)
  train, judged, found, names = sources['train'], [], None, []
  if train.paired and not splits['train'].unreadable:
    judged = data.spread(len(train), PAIRS)
    a, b, names = findings.sample(train, config, PAIRS)
    found = pairing.judge(a, b)
  leaks = {
    (split, side): findings.leaks(images, splits['train'].sides[side])
    for split, seen in splits.items()
    for side, images in seen.sides.items()
    if split != 'train' and side in splits['train'].sides
  }
  lines = [
    *(findings.of_pairs(found, names) if found else ()),
    *findings.of_leaks(splits, leaks),
    *findings.of_colours(splits),
    *(line for split, seen in splits.items() for line in findings.of_split(split, seen, config)),
  ]
  return Result(lines, splits, found, judged, leaks, values_of(lines, splits, found, names, leaks))


def values_of(
  lines: list[str], splits: dict[str, Split], found: Pairing | None, names: list[str], leaks: dict
) -> dict[str, Any]:
  """What check.json holds."""

  def side(seen: Seen) -> dict:
    return {
      'images': len(seen.names),
      'height': [int(f(seen.sizes[:, 0])) for f in (np.min, np.median, np.max)],
      'width': [int(f(seen.sizes[:, 1])) for f in (np.min, np.median, np.max)],
      'mean': [round(float(x), 1) for x in seen.means.mean(0)],
      'deviation': [round(float(x), 1) for x in seen.deviations.mean(0)],
      'one_colour': int(seen.flat.sum()),
      'gray': int(seen.gray.sum()),
    }

  pairs = {}
  if found:
    suspicious = [i for i in found.order if found.strangers[i] > pairing.CHANCE]
    pairs = {
      'pairs': len(found.judged),
      'judged': int(found.judged.sum()),
      'p_shuffled': found.related,
      'p_all_right': found.wrong,
      'share_wrong': round(found.share, 3),
      'suspicious': [names[i] for i in suspicious],
    }
  return {
    'findings': lines,
    'splits': {
      split: {**{k: side(seen) for k, seen in of.sides.items()}, 'unreadable': of.unreadable}
      for split, of in splits.items()
    },
    'pairs': pairs,
    'leaks': {
      split: {
        k: [
          [splits[split].sides[k].names[t.first], splits['train'].sides[k].names[t.second], t.turn]
          for t in leaks.get((split, k), [])
        ]
        for k in of.sides
      }
      for split, of in splits.items()
      if split != 'train'
    },
  }
