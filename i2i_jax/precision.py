"""What is computed in which type: nets in config.precision, all else in float32 at least."""

import jax.numpy as jnp


def storage(precision):
  """The type of weights, statistics, images and losses beside nets that compute in `precision`."""
  return jnp.promote_types(precision, jnp.float32)


def widened(x):
  """At least float32: what is summed up over pixels or images."""
  return x.astype(storage(x.dtype))
