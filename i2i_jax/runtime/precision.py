"""What is computed in which type: nets in config.precision, all else in float32 at least."""

import jax
import jax.numpy as jnp
import numpy as np

from i2i_jax.errors import BadInput, choice

PRECISIONS = ('bfloat16', 'float32', 'float64')


def storage_dtype(precision: jax.typing.DTypeLike) -> np.dtype:
  """The type of weights, statistics, images and losses beside nets that compute in `precision`."""
  return jnp.promote_types(precision, jnp.float32)


def widened(x: jax.Array) -> jax.Array:
  """At least float32: what is summed up over pixels or images."""
  return x.astype(storage_dtype(x.dtype))


def enable(precision: str) -> None:
  """Has JAX compute in `precision` in this process: without it float64 is float32. Commands call it."""
  choice('config.precision', precision, PRECISIONS)
  jax.config.update('jax_enable_x64', precision == 'float64')


def check(precision: str) -> None:
  """Raises BadInput where float64 is asked for and JAX would compute in float32."""
  if precision == 'float64' and not jax.config.read('jax_enable_x64'):
    raise BadInput(
      "config.precision = float64: JAX computes in float32 until i2i_jax.prepare(precision='float64') is called"
    )
