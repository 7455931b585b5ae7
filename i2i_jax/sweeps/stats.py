"""Statistics of a comparison over seeds and test images: plain NumPy, one function an estimate.

Scores are [S, I]: S trained nets (seeds) on the same I test images. Both are samples: other seeds would give other
nets, other places other images. An interval over images alone speaks of these S nets only. Images that belong
together, like neighbouring tiles, say less than as many that do not: they form a group, and the groups are the
independent draws.

The formulas are approximations for few seeds. Their two constants were set by simulation (test_stats.py): the
Earth's 42 test tiles in 13 blocks, correlation within a block from 0 to 0.5, any shares of seeds, of tiles and of
what both do together, differences with a skewness from 0 to 2.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import nctdtrinc, stdtr, stdtrit

LEVEL = 0.95
# By how much more than its own the mean square of seeds counts in the degrees of freedom: in an interval, and in the
# far tail that corrections for many comparisons look at. See `freedom`.
CAUTION, TAIL_CAUTION = 1.5, 7.0
POWER = 0.8  # of what `detectable` finds
FEWEST_SEEDS = 3  # for a p-value: with two seeds the far tail is not known well enough


class Comparison(NamedTuple):
  mean: float
  low: float  # of the 95% interval; nan where there are too few seeds or images to say
  high: float
  p: float  # two-sided, for `holm`; nan with fewer than FEWEST_SEEDS seeds


class Variance(NamedTuple):
  """Of a mean over seeds and groups: mean squares, their number and degrees of freedom."""

  seeds: float  # mean squares
  groups: float
  rest: float
  count: int  # seeds x groups
  free_seeds: float  # degrees of freedom
  free_groups: float

  def total(self, caution: float = 1.0) -> float:
    """`count` times the variance of the mean; never less than seeds or groups alone would give."""
    seeds = caution * self.seeds
    return max(seeds + self.groups - self.rest, seeds, self.groups)


def spread(scores: np.ndarray) -> tuple[float, float]:
  """Mean over images and seeds, and the standard deviation over seeds of their means (nan for one seed)."""
  by_seed = np.asarray(scores, np.float64).mean(1)
  return float(by_seed.mean()), float(by_seed.std(ddof=1)) if len(by_seed) > 1 else float('nan')


def by_group(scores: np.ndarray, groups: Sequence | None) -> tuple[np.ndarray, float]:
  """Scores [S, I] as [S, G] with the same mean, and how many groups of equal size these are worth.

  A group counts by its images: what it adds to the sum of deviations from the mean is its value. Groups of n_g images
  are worth (sum n_g)^2 / sum n_g^2 equal ones. Without `groups` each image is one.
  """
  if groups is None:
    return scores, float(scores.shape[1])
  _, group, sizes = np.unique(np.asarray(groups, str), return_inverse=True, return_counts=True)
  mean = scores.mean()
  sums = (scores - mean) @ np.eye(len(sizes))[group]
  return mean + sums * (len(sizes) / len(group)), float(len(group) ** 2 / np.square(sizes).sum())


def variance_of_mean(scores: np.ndarray, groups: Sequence | None = None) -> Variance:
  """What the variance of the mean of scores [S, I] is made of, as an estimate of the expectation.

  Two-way random effects, scores[s, g] = mean + seed[s] + group[g] + rest[s, g]. With the mean squares of seeds,
  groups and rest, the variance is (MS_seeds + MS_groups - MS_rest) / (S G).
  """
  table, worth = by_group(scores, groups)
  seeds, count = table.shape
  by_seed, by_group_, mean = table.mean(1, keepdims=True), table.mean(0, keepdims=True), table.mean()
  return Variance(
    count * np.square(by_seed - mean).sum() / (seeds - 1),
    seeds * np.square(by_group_ - mean).sum() / (count - 1),
    np.square(table - by_seed - by_group_ + mean).sum() / ((seeds - 1) * (count - 1)),
    seeds * count,
    seeds - 1.0,
    worth - 1.0,
  )


def freedom(variance: Variance, caution: float) -> float:
  """The degrees of freedom of the variance of a mean: Satterthwaite's (Biometrics Bulletin 1946), S - 1 at least.

  Of three seeds the mean square has two degrees of freedom. Where it is too small by chance, the interval is too
  narrow and its freedom is thought too large, both at once; so it counts `caution` times here.
  """
  squares = (caution * variance.seeds) ** 2 / variance.free_seeds + variance.groups**2 / variance.free_groups
  squares += variance.rest**2 / (variance.free_seeds * variance.free_groups)
  return max(variance.total(caution) ** 2 / squares, variance.free_seeds) if squares else variance.free_seeds


def compare(differences: np.ndarray, groups: Sequence | None = None) -> Comparison:
  """The mean of paired differences [S, I], its 95% interval, and the probability of one so large if there were none.

  Student's t with `variance_of_mean` and `freedom`. In simulated tables of three seeds the interval covers the truth
  in 93 to 97% of cases; in 92% where nothing but groups differs and differences are very skewed (2); in more than
  97%, up to all of them, where seeds and groups have little or no effect of their own: there it is too wide. With two
  seeds it may fall to 88%. A bootstrap over seeds and groups, stretched to the same width, covered no better.

  Args:
    differences: of a variant and what it is compared with, with the same seed on the same image; [S, 1] of a score
      that only a set of images has, whose interval is over seeds alone.
    groups: of each image, the label of those that it belongs to; None: each is by itself.
  """
  differences = np.asarray(differences, np.float64)
  mean, nan = float(differences.mean()), float('nan')
  seeds, images = differences.shape
  if images == 1 and seeds > 1:  # a score of the whole set: seeds alone are draws
    return student(mean, float(differences.std(ddof=1)) / np.sqrt(seeds), seeds - 1, seeds - 1, seeds)
  if min(seeds, images if groups is None else len(set(groups))) < 2:
    return Comparison(mean, nan, nan, nan)
  variance = variance_of_mean(differences, groups)
  error = np.sqrt(variance.total() / variance.count)
  return student(mean, error, freedom(variance, CAUTION), freedom(variance, TAIL_CAUTION), seeds)


def detectable(differences: np.ndarray, groups: Sequence | None, comparisons: int) -> float:
  """The smallest true difference that would be starred in 80% of such tables: what the design can see.

  By the noncentral t, of the variance that these differences show: as for `compare`, with p corrected for
  `comparisons` of them. Of few seeds that variance is far off, and its mean over a table's comparisons less so. nan
  with fewer than FEWEST_SEEDS seeds, which never have a star.
  """
  differences = np.asarray(differences, np.float64)
  seeds, images = differences.shape
  if seeds < FEWEST_SEEDS or (images > 1 and groups is not None and len(set(groups)) < 2):
    return float('nan')
  if images == 1:
    error, free = float(differences.std(ddof=1)) / np.sqrt(seeds), seeds - 1.0
  else:
    variance = variance_of_mean(differences, groups)
    error, free = np.sqrt(variance.total() / variance.count), freedom(variance, TAIL_CAUTION)
  least = stdtrit(free, 1 - (1 - LEVEL) / 2 / comparisons)
  return float(error * nctdtrinc(free, 1 - POWER, least))


def student(mean: float, error: float, free: float, free_tail: float, seeds: int) -> Comparison:
  """Student's t: the interval with `free` degrees of freedom, p with `free_tail`, none where seeds are too few."""
  if error == 0:
    return Comparison(mean, mean, mean, float(mean == 0) if seeds >= FEWEST_SEEDS else float('nan'))
  half = float(error * stdtrit(free, (1 + LEVEL) / 2))
  p = float(2 * stdtr(free_tail, -abs(mean) / error)) if seeds >= FEWEST_SEEDS else float('nan')
  return Comparison(mean, mean - half, mean + half, p)


def holm(p: Sequence[float]) -> list[float]:
  """p-values corrected for their number (Holm, Scandinavian Journal of Statistics 1979); nan stays nan.

  Under 0.05 in one of a table's comparisons although nothing differs: in at most 6% of simulated tables of three
  seeds and seven variants, where an uncorrected interval excludes zero in up to 30%.
  """
  known = sorted((value, i) for i, value in enumerate(p) if not np.isnan(value))
  corrected, least = list(p), 0.0
  for rank, (value, i) in enumerate(known):
    least = max(least, min(1.0, (len(known) - rank) * value))
    corrected[i] = least
  return corrected
