"""Are the pairs pairs? Aligned pairs must match better than shuffled ones, by the structure of their neighbourhoods.

Each image is described cell by cell: means, curvature, strength and direction of edges. How a target's cells follow
from its input's is learnt by ridge regression on half of the pairs, whatever the domains are, and asked of the other
half: there each pair is compared with the strangers that its input and its target make with all others. A true pair
matches better than nearly all strangers; a wrong one is a stranger itself, and its rank among them is uniform, so
that counting ranks gives the share of wrong pairs.
"""

from typing import NamedTuple

import numpy as np
from scipy import special  # scipy.stats has these too, and takes a second to import

from i2i_jax.data import images

CELL = 4  # px of a reduced image
RIDGE = 1e-2  # by the features' own variance
FEWEST = 24  # pairs that can be judged
MOST_CHANNELS = 6  # of an image with more, so many principal components
CHANCE = 0.2  # a pair that more strangers than this share match better counts as suspicious;
TOLERATED = 0.05  # so many of the true pairs may be, since some images say little
SHUFFLES = 999
ALARM = 0.01  # p-values below it count


class Pairing(NamedTuple):
  """What `judge` found of N pairs."""

  related: float  # p-value of the pairs' being shuffled all: small where they are related
  wrong: float  # p-value of their being all right: small where some are wrong
  share: float  # of wrong pairs, estimated
  strangers: np.ndarray  # [N], of each pair, the share of strangers that match as well: uniform where it is wrong
  judged: np.ndarray  # [N], whether both images show anything
  order: np.ndarray  # indices of the judged, the most suspicious first


def judge(a: np.ndarray, b: np.ndarray, seed: int = 0) -> Pairing | None:
  """Of aligned images [N, H, W, C] and [N, H, W, C'], any range; None where fewer than 24 show anything."""
  cells_a, cells_b = cells(a), cells(b)
  judged = shows(cells_a) & shows(cells_b)
  index = np.flatnonzero(judged)
  if len(index) < FEWEST:
    return None
  rng = np.random.default_rng(seed)
  order, count, size = rng.permutation(len(index)), len(index), cells_a.shape[1:3]
  x, y = with_products(scaled(cells_a[index])), scaled(cells_b[index])
  x, y = x.reshape(count, -1, x.shape[-1]), y.reshape(count, -1, y.shape[-1])
  own, others, shuffled = np.zeros(count), [], np.zeros(SHUFFLES)
  for half in (order[: count // 2], order[count // 2 :]):
    rest = np.setdiff1d(order, half)
    matrix = standardised(matches(x, y, size, rest, half))
    own[half] = np.diagonal(matrix)
    others.append(matrix[~np.eye(len(half), dtype=bool)])
    for i in range(SHUFFLES):
      shuffled[i] += matrix[np.arange(len(half)), rng.permutation(len(half))].sum()
  strangers = 1 - np.searchsorted(np.sort(np.concatenate(others)), own) / sum(map(len, others))
  related = (1 + (shuffled >= own.sum()).sum()) / (1 + SHUFFLES)
  suspicious = int((strangers > CHANCE).sum())
  wrong = float(special.bdtrc(suspicious - 1, count, TOLERATED))
  share = share_of(strangers) if related < ALARM else 1.0
  spread = np.full(len(a), np.nan)
  spread[index] = strangers
  worst = index[np.argsort(own)]
  return Pairing(float(related), wrong, share, spread, judged, worst)


def share_of(strangers: np.ndarray) -> float:
  """Of wrong pairs, whose values are uniform from 0 to 1, among true ones, nearly all of whose are small."""
  return min(1.0, float((strangers > CHANCE).mean() / (1 - CHANCE)))


def cells(pictures: np.ndarray) -> np.ndarray:
  """Features [N, h, w, F] of the cells of pictures [N, H, W, C]."""
  x = images.reduced(principal(np.asarray(pictures, np.float32)))
  down, right = np.gradient(x, axis=(1, 2))
  strength = np.sqrt(images.pooled(np.square(down) + np.square(right), CELL))
  turned = (np.square(right) - np.square(down), 2 * right * down)
  along, across = (images.pooled(v.sum(-1, keepdims=True), CELL) for v in turned)
  total = np.sqrt(np.square(strength).sum(-1, keepdims=True)) + 1e-6
  mean = images.pooled(x, CELL)
  return np.concatenate([mean, mean - blurred(mean), np.log(strength + 1e-3), along / total, across / total], -1)


def principal(x: np.ndarray) -> np.ndarray:
  """Images of many channels as their first principal components."""
  if x.shape[-1] <= MOST_CHANNELS:
    return x
  rows = x.reshape(-1, x.shape[-1])
  _, directions = np.linalg.eigh(np.cov(rows, rowvar=False))
  return x @ directions[:, -MOST_CHANNELS:]


def blurred(x: np.ndarray) -> np.ndarray:
  """Means over each cell and its eight neighbours, [N, h, w, F]."""
  height, width = x.shape[1:3]
  padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), 'edge')
  return sum(padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)) / 9


def shows(cells: np.ndarray) -> np.ndarray:
  """[N]: whether an image has any structure, of its set's typical strength."""
  deviation = cells.std((1, 2)).mean(-1)
  return deviation > max(0.01, 0.05 * np.median(deviation))


def matches(x: np.ndarray, y: np.ndarray, size: tuple[int, int], known: np.ndarray, asked: np.ndarray) -> np.ndarray:
  """How well each input's prediction and each target match, [n, n], among the pairs `asked`, learnt from `known`.

  `x` and `y` are features of the cells of inputs and targets, [N, h w, F], `size` is (h, w). A match is the
  log-likelihood's part that both share, of the images' means and of what their cells deviate from these.
  """
  rows_x, rows_y = x[known].reshape(-1, x.shape[-1]), y[known].reshape(-1, y.shape[-1])
  gram = rows_x.T @ rows_x
  gram[np.diag_indices_from(gram)] += RIDGE * len(rows_x)
  made = x @ np.linalg.solve(gram, rows_x.T @ rows_y)
  error = made[known] - y[known]
  total = np.zeros((len(asked), len(asked)))
  means = [v.mean(1, keepdims=True) for v in (made, y, error)]
  for made_part, true, wrong, count in (
    (*means, 1),
    (made - means[0], y - means[1], error - means[2], independent(error - means[2], size)),
  ):
    rows = wrong.reshape(-1, wrong.shape[-1])
    spread = rows.T @ rows / len(rows)
    spread += RIDGE * np.eye(len(spread)) * max(np.trace(spread) / len(spread), 1e-6)
    weighted = made_part[asked] @ np.linalg.inv(spread)
    total += np.einsum('icf,jcf->ij', weighted, true[asked], optimize=True) * count / true.shape[1]
  return total


def independent(error: np.ndarray, size: tuple[int, int]) -> float:
  """How many cells of an image err independently, by how much is left of errors [N, h w, F] in means of 4x4."""
  block = max(1, min(4, *size))
  maps = error.reshape(len(error), *size, error.shape[-1])
  left = np.square(images.pooled(maps, block)).mean() / max(np.square(maps).mean(), 1e-12)
  return float(np.clip(error.shape[1] / max(left * block * block, 1), 1, error.shape[1]))


def scaled(x: np.ndarray) -> np.ndarray:
  """Features [..., F] by their ranks among all cells, as normal deviates: a few lights do not outweigh the land."""
  rows = x.reshape(-1, x.shape[-1])
  grid = np.linspace(0, 1, 257)
  deviates = special.ndtri(np.clip(grid, 1 / 512, 1 - 1 / 512))
  columns = []
  for column in rows.T:
    values, first = np.unique(np.quantile(column, grid), return_index=True)
    columns.append(np.interp(column, values, deviates[first]))
  return standard(np.stack(columns, -1).reshape(x.shape).astype(np.float32))


def standard(x: np.ndarray) -> np.ndarray:
  """Features [..., F] of mean 0 and deviation 1."""
  axes = tuple(range(x.ndim - 1))
  return (x - x.mean(axes)) / np.maximum(x.std(axes), 1e-6)


def with_products(x: np.ndarray) -> np.ndarray:
  """Features and the products of each two: what follows need not follow in a straight line."""
  rows, columns = np.triu_indices(x.shape[-1])
  return np.concatenate([np.ones_like(x[..., :1]), x, standard(x[..., rows] * x[..., columns])], -1)


def standardised(matrix: np.ndarray) -> np.ndarray:
  """Matches by what strangers have in their row and column: mean 0, deviation 1."""
  strangers = np.ma.masked_array(matrix, np.eye(len(matrix), dtype=bool))
  row, column = strangers.mean(1, keepdims=True), strangers.mean(0, keepdims=True)
  centred = matrix - row.data - column.data + strangers.mean()
  strangers = np.ma.masked_array(centred, np.eye(len(matrix), dtype=bool))
  deviations = strangers.std(1, keepdims=True).data * strangers.std(0, keepdims=True).data
  return centred / np.maximum(np.sqrt(deviations), 1e-12)
