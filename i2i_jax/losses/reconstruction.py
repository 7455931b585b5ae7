"""How far an output is from its target: `config.loss.reconstruction` names a function of this file.

Each takes (fake, real), both [B, H, W, C] in [-1, 1], and gives a scalar, the mean over all pixels.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from i2i_jax import registry
from i2i_jax.errors import choice


def get(name: str) -> Callable:
  """The function of that name here, or of the user's own where it has a dot: 'my_package.my_losses.edges'.

  Raises:
    BadInput: there is none.
  """
  module, dot, function = name.rpartition('.')
  if dot:
    return getattr(
      registry.outside(f'config.loss.reconstruction = {name}', module, f'{function}(fake, real)'), function
    )
  known = {k: f for k, f in globals().items() if getattr(f, '__module__', '') == __name__ and k != 'get'}
  return known[choice('config.loss.reconstruction', name, known)]


def l1(fake: jax.Array, real: jax.Array) -> jax.Array:
  """Mean absolute difference: pix2pix's own."""
  return jnp.mean(jnp.abs(fake - real))


def l2(fake: jax.Array, real: jax.Array) -> jax.Array:
  """Mean squared difference."""
  return jnp.mean(jnp.square(fake - real))


def charbonnier(fake: jax.Array, real: jax.Array) -> jax.Array:
  """Mean of sqrt(d^2 + 0.001^2): an L1 that is smooth at zero.

  Charbonnier et al., Two Deterministic Half-Quadratic Regularization Algorithms, ICIP 1994.
  """
  return jnp.mean(jnp.sqrt(jnp.square(fake - real) + 1e-6))
