"""Schedules against the reference's formula, step by step; Adam against optax's."""

import functools

import jax
import numpy as np
import optax
import pytest

from i2i_jax import fields, optim
from i2i_jax.errors import BadInput
from i2i_jax.runtime import compiling


def rates(steps, epoch, **changes):
  config = fields.defaults().optim
  config.update(changes)
  rate = optim.schedule(config, steps, epoch)
  return np.array([rate(np.int32(s)) for s in range(steps)]) / config.lr


def test_linear_is_the_references_multiplier_by_epoch():
  """100 + 100 epochs of 7 steps: 1 - max(0, epoch + 1 - 100) / 101."""
  multiplier = np.array([1 - max(0, epoch + 1 - 100) / 101 for epoch in range(200)])
  np.testing.assert_allclose(rates(1400, 7), multiplier.repeat(7), rtol=1e-5)


def test_pix2pixhds_schedule_is_its_loop():
  """train.py calls update_learning_rate after each epoch past niter: lr -= lr0 / niter_decay."""
  expected, lr = [], 1.0
  for epoch in range(1, 51):
    expected += [lr] * 7
    if epoch > 25:
      lr -= 1 / 25
  np.testing.assert_allclose(rates(350, 7, schedule='pix2pixhd'), expected, rtol=1e-5)


@pytest.mark.parametrize('schedule', ['linear', 'pix2pixhd', 'cosine'])
def test_the_rate_is_as_fine_as_float64_where_that_is_on(schedule):
  """A rate in float32 was 1e-8 off in runs of float64."""
  config = fields.defaults().optim
  config.schedule = schedule
  singles = rates(1400, 7, schedule=schedule)
  with jax.enable_x64(True):
    rate = optim.schedule(config, 1400, 7)
    doubles = np.array([rate(np.int32(s)) for s in range(1400)]) / config.lr
  assert doubles.dtype == np.float64
  np.testing.assert_allclose(doubles, singles, rtol=1e-5, atol=1e-7)
  assert np.abs(doubles - singles).max() > 0
  if schedule == 'linear':
    exact = np.array([1 - max(0, epoch + 1 - 100) / 101 for epoch in range(200)])
    np.testing.assert_allclose(doubles, exact.repeat(7), rtol=1e-14)


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


def tree_of(rng):
  return {'kernel': rng.normal(size=(64, 1024)).astype(np.float32), 'bias': rng.normal(size=3).astype(np.float32)}


def test_adam_is_optaxs():
  config = fields.defaults().optim
  ours, theirs = optim.adam(config, optim.schedule(config, 10, 1)), optax.adam(2e-4, b1=0.5, b2=0.999)
  rng = np.random.default_rng(0)
  params = tree_of(rng)
  states = [ours.init(params), theirs.init(params)]
  for _ in range(4):
    grads = tree_of(rng)
    updates, states[0] = ours.update(grads, states[0])
    expected, states[1] = theirs.update(grads, states[1])
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-10), updates, expected)
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), states[0][0], states[1][0])


def test_an_update_takes_no_copy_of_the_moments():
  """The state is given away and written in place: the program's own room is less than one moment's."""
  config = fields.defaults().optim
  tx = optim.adam(config, lambda step: 2e-4)

  @functools.partial(compiling.jit, donate_argnums=(0, 1))
  def update(params, state, grads):
    updates, state = tx.update(grads, state)
    return optax.apply_updates(params, updates), state

  params = tree_of(np.random.default_rng(0))
  compiled = update.lower(params, tx.init(params), params).compile()
  assert compiled.memory_analysis().temp_size_in_bytes < params['kernel'].nbytes / 2


@pytest.mark.parametrize(
  ('name', 'theirs'),
  [
    ('adamw', optax.adamw(1e-2, b1=0.5, b2=0.999, weight_decay=0.1)),
    ('lion', optax.lion(1e-2, b1=0.5, b2=0.999, weight_decay=0.1)),
    ('adam', optax.chain(optax.add_decayed_weights(0.1), optax.adam(1e-2, b1=0.5, b2=0.999))),
  ],
)
def test_an_optimizer_has_the_numbers_of_the_config(name, theirs):
  config = fields.defaults().optim
  config.update({'name': name, 'weight_decay': 0.1, 'clip': 0.5})
  ours = optim.optimizer(config, lambda step: 1e-2)
  rng = np.random.default_rng(0)
  params = tree_of(rng)
  states = [ours.init(params), theirs.init(params)]
  for _ in range(3):
    grads = tree_of(rng)
    norm = np.sqrt(sum(np.square(g).sum(dtype=np.float64) for g in grads.values()))
    clipped = {k: (g * 0.5 / norm).astype(np.float32) for k, g in grads.items()}
    updates, states[0] = ours.update(grads, states[0], params)
    expected, states[1] = theirs.update(clipped, states[1], params)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-7), updates, expected)


def test_a_small_gradient_is_not_clipped():
  config = fields.defaults().optim
  config.update({'name': 'sgd', 'clip': 10.0})
  tx, grads = optim.optimizer(config, lambda step: 1.0), {'a': np.float32([3, 4])}
  np.testing.assert_allclose(tx.update(grads, tx.init(grads))[0]['a'], [-3, -4])
  np.testing.assert_allclose(tx.update({'a': np.float32([30, 40])}, tx.init(grads))[0]['a'], [-6, -8])


@pytest.mark.parametrize(
  ('fields_', 'words'),
  [
    ({'name': 'adamm'}, 'did you mean'),
    ({'name': 'sgd', 'weight_decay': 0.1}, 'sgd has none'),
    ({'name': 'lbfgs'}, 'needs more than gradients'),
    ({'name': 'scale_by_learning_rate'}, 'is not known|did you mean|one of'),
  ],
)
def test_optimizers_that_cannot_be_are_refused(fields_, words):
  config = fields.defaults().optim
  config.update(fields_)
  with pytest.raises(BadInput, match=words):
    optim.optimizer(config, lambda step: 1.0)
