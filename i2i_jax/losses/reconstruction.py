"""How far an output is from its target: `config.loss.reconstruction` names a function of this file.

Each takes (fake, real), both [B, H, W, C] in [-1, 1], and gives a scalar, the mean over all pixels.
"""

import importlib
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp

from i2i_jax.errors import BadInput, choice


def get(name: str) -> Callable:
  """The function of that name here, or of the user's own where it has a dot: 'my_package.my_losses.edges'.

  Raises:
    BadInput: there is none.
  """
  module, dot, function = name.rpartition('.')
  if not dot:
    own = sys.modules[__name__]
    known = [k for k, v in vars(own).items() if getattr(v, '__module__', '') == __name__ and k != 'get']
    return getattr(own, choice('config.loss.reconstruction', name, known))
  try:
    return getattr(importlib.import_module(module), function)
  except (ModuleNotFoundError, AttributeError) as error:
    raise BadInput(f'config.loss.reconstruction = {name}: {error}') from None


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
