"""Schedules against the reference's formula, step by step."""

import numpy as np
import pytest

from configs import common
from i2i_jax import optim


def rates(steps, epoch, **fields):
  config = common.get_config().optim
  config.update(fields)
  rate = optim.schedule(config, steps, epoch)
  return np.array([rate(np.int32(s)) for s in range(steps)]) / config.lr


def test_linear_is_the_references_multiplier_by_epoch():
  """100 + 100 epochs of 7 steps: 1 - max(0, epoch + 1 - 100) / 101."""
  multiplier = np.array([1 - max(0, epoch + 1 - 100) / 101 for epoch in range(200)])
  np.testing.assert_allclose(rates(1400, 7), multiplier.repeat(7), rtol=1e-5)


def test_linear_by_step_ends_near_zero():
  r = rates(100, 7, per_epoch=False)
  assert (r[:50] == 1).all()
  assert (np.diff(r[50:]) < 0).all()
  assert r[-1] == pytest.approx(1 / 51)


@pytest.mark.parametrize(
  ('kind', 'middle', 'last'), [('cosine', 0.5, 0.001), ('step', 0.01, 0.001), ('constant', 1, 1)]
)
def test_other_schedules(kind, middle, last):
  r = rates(300, 1, schedule=kind, decay_from=0.0)
  if kind != 'step':
    assert r[0] == pytest.approx(1)
  assert r[150] == pytest.approx(middle, rel=0.02)
  assert r[-1] == pytest.approx(last, abs=1e-3)


def test_no_rate_is_negative_when_epochs_do_not_divide_the_steps():
  assert rates(103, 10).min() > 0
