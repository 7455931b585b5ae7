"""How far one set of features lies from another: NumPy in float64, features [N, D] of outputs and [M, D] of targets.

Statistics of sets are computed on the host: they are small beside the net that gives the features, and a difference
of large numbers, for which float32 is too coarse.
"""

from typing import Any

import numpy as np

NEIGHBOURS = 5  # of precision, recall, density, coverage


def frechet(fake: np.ndarray, real: np.ndarray) -> float:
  """Fréchet distance of two Gaussians with the sets' means and covariances: FID, on Inception's features.

  Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017. The trace of the root of the product of
  the covariances A'A and B'B is the sum of the singular values of AB'. That needs no matrix root, and holds for fewer
  images than features, where the usual root is unstable.
  """
  fake, real = np.asarray(fake, np.float64), np.asarray(real, np.float64)
  roots = [root(x) for x in (fake, real)]
  traces = sum(float(np.square(x).sum()) for x in roots)
  overlap = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
  return float(np.square(fake.mean(0) - real.mean(0)).sum() + traces - 2 * overlap)


def root(x: np.ndarray) -> np.ndarray:
  """A with A'A the covariance of x [N, D]: at most D rows."""
  centred = (x - x.mean(0)) / np.sqrt(len(x) - 1)
  return np.asarray(np.linalg.qr(centred, 'r')) if len(x) > x.shape[1] else centred


def kernel(fake: np.ndarray, real: np.ndarray) -> tuple[float, float]:
  """Squared maximum mean discrepancy with the kernel (x y / D + 1)^3, and its deviation: KID on Inception's features.

  Binkowski et al., Demystifying MMD GANs, ICLR 2018. The unbiased estimate from all images, which is what the mean
  over random subsets estimates; it may be below zero. The deviation is the jackknife's over the images of both sets:
  what other images of the same kinds would change.
  """
  fake, real = np.asarray(fake, np.float64), np.asarray(real, np.float64)
  sums = []
  for x in (fake, real):
    k = cubic(x, x)
    np.fill_diagonal(k, 0)
    sums.append(k.sum(1))
  cross = cubic(fake, real)
  n, m = cross.shape
  whole = discrepancy(sums[0].sum(), sums[1].sum(), cross.sum(), n, m)
  if min(n, m) < 3:
    return float(whole), float('nan')
  # Each image left out in turn: its row leaves the sum, and its column.
  without_fake = discrepancy(sums[0].sum() - 2 * sums[0], sums[1].sum(), cross.sum() - cross.sum(1), n - 1, m)
  without_real = discrepancy(sums[0].sum(), sums[1].sum() - 2 * sums[1], cross.sum() - cross.sum(0), n, m - 1)
  variance = sum((len(x) - 1) * x.var() for x in (without_fake, without_real))
  return float(whole), float(np.sqrt(variance))


def discrepancy(fake: Any, real: Any, both: Any, n: int, m: int) -> Any:
  """Of the kernel's sums: over pairs of different outputs, of different targets, of one and the other."""
  return fake / (n * (n - 1)) + real / (m * (m - 1)) - 2 * both / (n * m)


def cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  return (x @ y.T / x.shape[1] + 1) ** 3


def precision(fake: np.ndarray, real: np.ndarray) -> float:
  """Share of outputs that lie among the targets: nearer to one than its fifth neighbour is.

  Kynkäänniemi et al., Improved Precision and Recall, NeurIPS 2019; as compute_prdc of the package prdc.
  """
  return float((between(real, fake) < radii(real)[:, None]).any(0).mean())


def recall(fake: np.ndarray, real: np.ndarray) -> float:
  """Share of targets that lie among the outputs."""
  return precision(real, fake)


def density(fake: np.ndarray, real: np.ndarray) -> float:
  """How many targets an output lies near, by the number of neighbours: about 1 for outputs like the targets.

  Naeem et al., Reliable Fidelity and Diversity Metrics, ICML 2020.
  """
  return float((between(real, fake) < radii(real)[:, None]).sum(0).mean() / neighbours(real))


def coverage(fake: np.ndarray, real: np.ndarray) -> float:
  """Share of targets that have an output nearer than their fifth neighbour."""
  return float((between(real, fake).min(1) < radii(real)).mean())


def between(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Euclidean distances [N, M]."""
  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
  if x is y:
    np.fill_diagonal(squares, 0)
  return np.sqrt(np.maximum(squares, 0))


def neighbours(x: np.ndarray) -> int:
  """How many count: fewer in a set of so few images."""
  return max(1, min(NEIGHBOURS, len(x) - 1))


def radii(x: np.ndarray) -> np.ndarray:
  """Each one's distance to the last of its neighbours."""
  x = np.asarray(x, np.float64)
  count = min(neighbours(x), len(x) - 1)
  return np.partition(between(x, x), count, axis=1)[:, count]
