"""Intervals on simulated tables, where the true difference is known."""

import numpy as np
import pytest

from i2i_jax import stats


def simulate(rng, seeds, images, seed_effect, image_effect, rest):
  """Differences [seeds, images] whose expectation is 0.3; the images' effects are skewed, as scores are."""
  skewed = rng.gamma(4.0, 0.5, (1, images)) - 2.0  # variance 1
  return (
    0.3 + seed_effect * rng.normal(size=(seeds, 1)) + image_effect * skewed + rest * rng.normal(size=(seeds, images))
  )


# The deviations of what seeds, images, and both together do to a difference.
TYPICAL = {'seeds': (1, 0.3, 0.3), 'images': (0, 1, 0.5), 'all': (0.3, 1, 1), 'few seeds': (0.15, 1, 0.5)}


def coverage(interval, mix, seeds=3, images=42, tables=1500):
  rng = np.random.default_rng(0)
  hits = 0
  for _ in range(tables):
    low, high = interval(simulate(rng, seeds, images, *mix))
    hits += low <= 0.3 <= high
  return hits / tables


def ours(differences):
  return stats.interval(differences, resamples=1000)[1:]


@pytest.mark.parametrize('mix', TYPICAL.values(), ids=TYPICAL)
def test_the_interval_covers_the_true_difference(mix):
  assert 0.93 <= coverage(ours, mix) <= 0.97


@pytest.mark.parametrize('seeds', [5, 8])
def test_the_interval_covers_it_with_other_numbers_of_seeds(seeds):
  assert 0.93 <= coverage(ours, TYPICAL['all'], seeds=seeds, images=60) <= 0.97


@pytest.mark.parametrize('mix', [(0, 0, 1), (0, 0.2, 1), (0.1, 0.3, 1), (0.2, 0, 1)])
def test_the_interval_errs_on_the_wide_side_where_nothing_but_chance_differs(mix):
  assert 0.93 <= coverage(ours, mix, tables=800) <= 0.995


def test_simpler_intervals_do_not_cover():
  """What the stretching, and the seeds, are there for."""

  def over_images(d):
    rng = np.random.default_rng(0)
    means = d.mean(0)[rng.integers(d.shape[1], size=(200, d.shape[1]))].mean(1)
    return np.quantile(means, [0.025, 0.975])

  def unstretched(d):
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(d.shape[0], size=(200, 3)), rng.integers(d.shape[1], size=(200, 42))
    means = [d[np.ix_(r, c)].mean() for r, c in zip(rows, columns, strict=True)]
    return np.quantile(means, [0.025, 0.975])

  assert coverage(over_images, TYPICAL['seeds'], tables=200) < 0.5
  assert coverage(unstretched, TYPICAL['seeds'], tables=200) < 0.85


def test_the_variance_of_a_mean_is_that_of_simulated_means():
  rng = np.random.default_rng(1)
  tables = [simulate(rng, 4, 30, 0.5, 1, 1) for _ in range(2000)]
  estimated = np.mean([stats.variance_of_mean(t)[0] for t in tables])
  assert estimated == pytest.approx(np.var([t.mean() for t in tables]), rel=0.1)


def test_degrees_of_freedom_are_those_of_what_varies():
  rng = np.random.default_rng(2)
  assert stats.variance_of_mean(simulate(rng, 3, 50, 1, 0, 0.01))[1] == pytest.approx(2, rel=0.01)
  assert stats.variance_of_mean(simulate(rng, 3, 50, 0, 1, 0.01))[1] == pytest.approx(49, rel=0.01)


def test_the_same_differences_give_the_same_interval_and_few_give_none():
  d = simulate(np.random.default_rng(3), 3, 20, 1, 1, 1)
  assert stats.interval(d) == stats.interval(d.copy())
  shifted, plain = stats.interval(d + 5), stats.interval(d)
  np.testing.assert_allclose(np.subtract(shifted, plain), 5)
  assert np.isnan(stats.interval(d[:1])[1:]).all()
  assert stats.interval(np.full((3, 4), 2.0)) == (2.0, 2.0, 2.0)
  mean, deviation = stats.spread(d)
  assert (mean, deviation) == (pytest.approx(d.mean()), pytest.approx(np.std(d.mean(1), ddof=1)))
