"""Every image of a data set, read once: what it shows, and what cannot be read."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from i2i_jax import data
from i2i_jax.data import degrade, images, labels
from i2i_jax.data.checks import duplicates
from i2i_jax.errors import BadInput

FLAT = 1.0  # of 255: an image that deviates less shows one colour
THREADS = 4


class Seen(NamedTuple):
  """The images of one side of a split."""

  names: list[str]
  places: np.ndarray  # [N], in the split, or among the side's images where there are no pairs
  sizes: np.ndarray  # [N, 2]: height, width
  means: np.ndarray  # [N, C], 0 to 255
  deviations: np.ndarray  # [N, C]
  thumbnails: np.ndarray  # [N, 16, 16]
  flat: np.ndarray  # [N], whether it shows one colour
  gray: np.ndarray  # [N], whether it is gray in three channels


class Split(NamedTuple):
  sides: dict[str, Seen]  # 'a' and 'b'; 'b' alone where the input is made of it
  unreadable: list[str]  # the errors
  paired: bool
  fingerprint: str


def survey(source: Any, config: ConfigDict, split: str) -> Split:
  """Reads all images of a split, in threads; those that cannot be read are listed."""
  sides = 'b' if degrade.of(config.data) else 'ab'
  rows: dict[str, list[tuple]] = {side: [] for side in sides}
  unreadable, images_at = [], reader(source, config)

  def read(question: tuple[str, int]) -> dict[str, tuple] | str:
    asked, place = question
    try:
      found = images_at(place, asked)
    except BadInput as error:
      return str(error)
    return {side: looked_at(image, name, place) for side, (image, name) in found.items()}

  if isinstance(source, data.Unpaired):
    questions = [(side, place) for side in sides for place in range(len(source.items[side]))]
  else:
    questions = [(sides, place) for place in range(len(source))]
  with ThreadPoolExecutor(THREADS) as pool:
    answers = pool.map(read, questions)
    for answer in tqdm(answers, total=len(questions), desc=split, unit='image', disable=None, leave=False):
      if isinstance(answer, str):
        unreadable.append(answer)
      else:
        for side, row in answer.items():
          rows[side].append(row)
  seen = {side: Seen(*gathered(of)) for side, of in rows.items() if of}
  return Split(seen, unreadable, source.paired, source.fingerprint)


def reader(source: Any, config: ConfigDict) -> Callable[[int, str], dict[str, tuple[np.ndarray, str]]]:
  """A function (place, sides) -> {side: (image, name)} of a split, as uint8 whatever its depth.

  That raises BadInput for what cannot be read, or is no image as the config asks for.
  """
  kinds, encode = images.kinds(config.data), labels.encoders(config.data)
  draw = {'a': labels.drawer(config.data), 'b': lambda x: x}

  def in_8_bits(image: np.ndarray, side: str, name: str) -> np.ndarray:
    image = images.within(image, kinds[side], name)
    return image if kinds[side].depth == 8 else images.to_uint8(draw[side](encode[side](image)))

  def at(place: int, sides: str) -> dict[str, tuple[np.ndarray, str]]:
    if isinstance(source, data.Unpaired):
      found = {side: source.read(source.items[side][place], side) for side in sides}
    else:
      pair = source[place]
      found = {side: (pair[side], pair['name']) for side in sides}
    return {side: (in_8_bits(image, side, name), name) for side, (image, name) in found.items()}

  return at


def looked_at(image: np.ndarray, name: str, place: int) -> tuple:
  """One image's entries of `Seen`."""
  small = duplicates.thumbnail(image)
  values = (images.to_float(image).reshape(-1, image.shape[-1]) + 1) * 127.5
  deviation = values.std(0)
  gray = image.shape[-1] == 3 and not np.ptp(image, axis=-1).any()
  return name, place, image.shape[:2], values.mean(0), deviation, small, deviation.max() < FLAT, gray


def gathered(rows: list[tuple]) -> list:
  names, *arrays = zip(*rows, strict=True)
  return [list(names), *map(np.asarray, arrays)]
