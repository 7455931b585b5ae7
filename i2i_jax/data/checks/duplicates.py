"""Images that are in a data set twice: re-encoded, scaled, mirrored or turned."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from i2i_jax.data import images

SIDE = 16  # px of the thumbnails that are compared
# The largest root mean square difference of two thumbnails of one image: of 255, where JPEG of quality 30 leaves 1.5,
ALIKE = 2.0
SHARE = 0.4  # and by the image's own deviation, since flat ones are all alike
ROWS = 1024  # compared at a time
TURNS = ('', 'mirrored', 'turned by 90', 'turned by 90 and mirrored', 'turned by 180', 'turned by 180 and mirrored')
TURNS += ('turned by 270', 'turned by 270 and mirrored')


class Twins(NamedTuple):
  """An image and another that shows the same."""

  first: int
  second: int
  turn: str  # what was done to the second: '' or one of TURNS


def thumbnail(image: np.ndarray) -> np.ndarray:
  """uint8 [H, W, C] as its brightness, float32 [16, 16]; JPEG files keep colours less well."""
  small = images.resize(image, (SIDE, SIDE))
  return (images.recolour(small, 1) if image.shape[-1] == 3 else small).mean(-1, dtype=np.float32)


def between(first: np.ndarray, second: np.ndarray) -> list[Twins]:
  """Of each thumbnail in `first` [N, 16, 16] its twin in `second` [M, 16, 16], where it has one.

  An image that shows next to nothing has no twin: all such images are alike.
  """
  found = []
  for start, limits, distances, turns in compared(first, second):
    nearest = distances.argmin(1)
    for i in np.flatnonzero(distances.min(1) <= limits):
      found.append(Twins(int(start + i), int(nearest[i]), TURNS[turns[i, nearest[i]]]))
  return found


def within(thumbnails: np.ndarray) -> list[Twins]:
  """Twins of one set [N, 16, 16], each pair once."""
  return [
    Twins(int(start + i), int(j), TURNS[turns[i, j]])
    for start, limits, distances, turns in compared(thumbnails, thumbnails)
    for i, j in np.argwhere(distances <= limits[:, None])
    if j > start + i
  ]


def compared(first: np.ndarray, second: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
  """Thumbnails [N, 16, 16] against others [M, 16, 16], some rows at a time.

  Yields the place of the first of them, their limits [n], and distances [n, M] at the best turn, and that [n, M].
  """
  others = second.reshape(len(second), -1)
  norms = np.square(others).sum(1)
  for start in range(0, len(first), ROWS):
    rows = first[start : start + ROWS]
    distances = apart(turned(rows, 0), others, norms)
    turns = np.zeros(distances.shape, np.uint8)
    for turn in range(1, len(TURNS)):
      again = apart(turned(rows, turn), others, norms)
      turns[again < distances] = turn
      distances = np.minimum(distances, again)
    yield start, np.array([limit(row) for row in rows]), distances, turns


def turned(thumbnails: np.ndarray, turn: int) -> np.ndarray:
  quarter = np.rot90(thumbnails, turn // 2, (1, 2))
  return (quarter[:, :, ::-1] if turn % 2 else quarter).reshape(len(thumbnails), -1)


def apart(rows: np.ndarray, others: np.ndarray, norms: np.ndarray) -> np.ndarray:
  """Root mean square differences [N, M]."""
  squares = np.square(rows).sum(1)[:, None] + norms - 2 * rows @ others.T
  return np.sqrt(np.maximum(squares, 0) / rows.shape[1])


def limit(thumbnail: np.ndarray) -> float:
  """Up to which another image counts as the same."""
  return min(ALIKE, SHARE * float(thumbnail.std()))
