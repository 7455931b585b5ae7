"""The page of a look at a data set: samples, suspicious pairs, leaks, as one self-contained HTML file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from i2i_jax import data
from i2i_jax.data import images
from i2i_jax.data.checks import Result
from i2i_jax.data.checks.survey import reader
from i2i_jax.pages.page import fill, image_url

SAMPLES = 12  # of each split
SUSPICIOUS = 12
LEAKS = 8  # of each split and side
SIDE = 192  # px of a picture's longer side on the page
QUALITY = 85


def write(page: Path, result: Result, sources: dict[str, Any], config: ConfigDict) -> None:
  """Writes the page of what `checks.run` found in `sources`."""
  suspicious, read = [], {split: reader(source, config) for split, source in sources.items()}
  if result.pairing:
    for place in result.pairing.order[:SUSPICIOUS]:
      chance = round(float(result.pairing.strangers[place]), 3)
      suspicious.append({**shown(read['train'], result.judged[place], 'ab'), 'chance': chance})
  leaks = []
  for (split, side), found in result.leaks.items():
    for twins in found[:LEAKS]:
      here, there = result.splits[split].sides[side], result.splits['train'].sides[side]
      leaks.append(
        {
          'split': split,
          'turn': twins.turn,
          'here': shown(read[split], here.places[twins.first], side),
          'there': shown(read['train'], there.places[twins.second], side),
        }
      )
  samples = {}
  for split, of in result.splits.items():
    # Without pairs the two sides are two sets, and beside one another they only look like pairs.
    groups = [''.join(of.sides)] if of.paired else list(of.sides)
    for sides in groups:
      places = of.sides[sides[0]].places
      drawn = [shown(read[split], places[i], sides) for i in data.spread(len(places), SAMPLES)]
      samples[f'{split}{"" if of.paired else f", {sides}"}'] = drawn
  seen = {'data': config.data.to_dict(), 'samples': samples, 'suspect': suspicious, 'shared': leaks}
  fill(page, {**result.values, **seen})


def shown(read: Callable, place: int, sides: str) -> dict[str, Any]:
  """{'name', 'images': [...]} of some sides, as the page holds them."""
  found = read(int(place), sides)
  return {'name': found[sides[0]][1], 'images': [picture(found[side][0]) for side in sides]}


def picture(image: np.ndarray) -> str:
  """What is looked at of it, at most 192 px large."""
  image = images.visible(image)
  scale = min(1, SIDE / max(image.shape[:2]))
  size = tuple(max(1, round(scale * n)) for n in image.shape[:2])
  return image_url(images.resize(image, size), QUALITY)
