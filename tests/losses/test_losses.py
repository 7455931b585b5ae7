"""The objectives against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2i_jax.losses import objectives

softplus = lambda x: np.log1p(np.exp(x))  # noqa: E731 (a formula)

FORMULAS = {
  'vanilla': (lambda r, f: softplus(-r).mean() + softplus(f).mean(), lambda f: softplus(-f).mean()),
  'lsgan': (lambda r, f: ((r - 1) ** 2).mean() + (f**2).mean(), lambda f: ((f - 1) ** 2).mean()),
  'hinge': (lambda r, f: np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(), lambda f: -f.mean()),
  'wgan-gp': (lambda r, f: f.mean() - r.mean(), lambda f: -f.mean()),
}


@pytest.mark.parametrize('name', objectives.OBJECTIVES)
def test_objectives_are_their_formulas(name):
  rng = np.random.default_rng(0)
  real, fake = np.float32(rng.normal(size=(2, 3, 5, 5, 1)) * 2)
  disc, gen = FORMULAS[name]
  np.testing.assert_allclose(objectives.gan(name).disc(real, fake), disc(real, fake), rtol=1e-5)
  np.testing.assert_allclose(objectives.gan(name).gen(fake), gen(fake), rtol=1e-5)


@pytest.mark.parametrize('name', objectives.OBJECTIVES)
def test_scales_are_averaged_each_and_added_up(name):
  rng = np.random.default_rng(0)
  real, fake = ([np.float32(rng.normal(size=(1, n, n, 1))) for n in (2, 6)] for _ in range(2))
  gan = objectives.gan(name)
  np.testing.assert_allclose(gan.gen(fake), sum(gan.gen(f) for f in fake), rtol=1e-5)
  expected = sum(gan.disc(r, f) for r, f in zip(real, fake, strict=True))
  np.testing.assert_allclose(gan.disc(real, fake), expected, rtol=1e-5)


def test_gradient_penalty_of_a_linear_critic_is_known_and_its_gradient_too():
  rng = jax.random.key(0)
  real, fake, w = (jax.random.normal(k, (4, 3, 3, 2)) for k in jax.random.split(rng, 3))
  w = w[0]

  def penalty(w):
    return objectives.gradient_penalty(lambda x: jnp.einsum('bhwc,hwc->b', x, w), real, fake, rng)

  norm = jnp.sqrt(jnp.square(w).sum())
  np.testing.assert_allclose(penalty(w), (norm - 1) ** 2, rtol=1e-5)
  np.testing.assert_allclose(jax.grad(penalty)(w), 2 * (norm - 1) * w / norm, rtol=1e-4)


def test_gradient_penalty_looks_between_real_and_fake():
  """A critic whose slope is 3 left of zero and 1 right of it: the penalty tells where it was asked."""

  def critic(x):
    return jnp.where(x < 0, 3 * x, x).sum((1, 2, 3))

  near, far = jnp.full((64, 1, 1, 1), 0.5), jnp.full((64, 1, 1, 1), 1.0)
  assert objectives.gradient_penalty(critic, near, far, jax.random.key(0)) == pytest.approx(0, abs=1e-6)
  assert objectives.gradient_penalty(critic, -near, -far, jax.random.key(0)) == pytest.approx(4, abs=1e-4)
  between = objectives.gradient_penalty(critic, -near, near, jax.random.key(0))
  assert 1 < between < 3
