"""Images that are in a data set twice: re-encoded, scaled, mirrored or turned."""

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
  flat = second.reshape(len(second), -1)
  norms = np.square(flat).sum(1)
  for start in range(0, len(first), ROWS):
    rows = first[start : start + ROWS]
    distances = np.stack([apart(turned(rows, turn), flat, norms) for turn in range(len(TURNS))])
    nearest = distances.reshape(len(TURNS), len(rows), -1).min(0).argmin(1)
    for i, j in enumerate(nearest):
      turn = int(distances[:, i, j].argmin())
      if distances[turn, i, j] <= limit(rows[i]):
        found.append(Twins(start + i, int(j), TURNS[turn]))
  return found


def within(thumbnails: np.ndarray) -> list[Twins]:
  """Twins of one set [N, 16, 16], each pair once."""
  found = []
  flat = thumbnails.reshape(len(thumbnails), -1)
  norms = np.square(flat).sum(1)
  for start in range(0, len(thumbnails), ROWS):
    rows = thumbnails[start : start + ROWS]
    limits = np.array([limit(row) for row in rows])[:, None]
    for turn in range(len(TURNS)):
      close = apart(turned(rows, turn), flat, norms) <= limits
      found += [Twins(start + i, int(j), TURNS[turn]) for i, j in np.argwhere(close) if j > start + i]
  return list({twins[:2]: twins for twins in reversed(found)}.values())[::-1]


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
