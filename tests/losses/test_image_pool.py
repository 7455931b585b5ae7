"""The image pool against the published rule, written out in plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2i_jax.losses import image_pool as pool


class ReferencePool:
  """The rule in words: fill first; then, with probability one half, swap with a random stored image."""

  def __init__(self, size):
    self.size, self.images = size, []

  def query(self, images, swap, slot):
    returned = []
    for image, swap_this, place in zip(images, swap, slot, strict=True):
      if len(self.images) < self.size:
        self.images.append(image)
        returned.append(image)
      elif swap_this:
        returned.append(self.images[place])
        self.images[place] = image
      else:
        returned.append(image)
    return np.array(returned)


@pytest.mark.parametrize(('size', 'batch'), [(1, 1), (5, 1), (5, 4), (3, 8)])
def test_the_same_draws_give_the_same_images(size, batch):
  ours, theirs = pool.init(size, (1, 1, 1), jnp.float32), ReferencePool(size)
  query = jax.jit(pool.query)
  for step in range(20):
    images = np.arange(step * batch, (step + 1) * batch, dtype=np.float32).reshape(batch, 1, 1, 1)
    swap, slot = pool.draw(jax.random.key(step), ours, batch)
    ours, returned = query(ours, images, swap, slot)
    np.testing.assert_array_equal(returned, theirs.query(images, np.asarray(swap), np.asarray(slot)))
    np.testing.assert_array_equal(ours['images'][: len(theirs.images)], theirs.images)
    assert ours['count'] == len(theirs.images)


def test_ten_thousand_queries_have_the_published_statistics():
  """The share of old images returned, and how old they are: half, and 2 * 50 queries on average, geometric."""
  size, count = 50, 10_000

  @jax.jit
  def run(rng):
    def one(state, item):
      rng, index = item
      swap, slot = pool.draw(rng, state, 1)
      state, returned = pool.query(state, index.reshape(1, 1, 1, 1), swap, slot)
      return state, returned.reshape(())

    items = jax.random.split(rng, count), jnp.arange(count, dtype=jnp.float32)
    return jax.lax.scan(one, pool.init(size, (1, 1, 1), jnp.float32), items)[1]

  ages = np.arange(count) - np.asarray(run(jax.random.key(0)))
  assert (ages[:size] == 0).all()  # filled first, and returned as they are

  random, reference, expected = np.random.default_rng(0), ReferencePool(size), []
  for index in range(count):
    expected.append(index - reference.query([index], [random.random() > 0.5], [random.integers(size)])[0])
  expected = np.array(expected)

  for measured in (ages, expected):
    assert np.mean(measured[size:] > 0) == pytest.approx(0.5, abs=0.02)
    assert np.mean(measured[measured > 0]) == pytest.approx(2 * size, rel=0.06)
  quantiles = [0.1, 0.25, 0.5, 0.75, 0.9, 0.97]
  np.testing.assert_allclose(
    np.quantile(ages[ages > 0], quantiles), np.quantile(expected[expected > 0], quantiles), rtol=0.12
  )


def test_draws_cover_every_slot_evenly():
  state = pool.init(10, (1, 1, 1), jnp.float32)
  swap, slot = pool.draw(jax.random.key(0), state, 20_000)
  assert swap.mean() == pytest.approx(0.5, abs=0.02)
  np.testing.assert_allclose(np.bincount(slot, minlength=10) / 20_000, 0.1, atol=0.01)
