"""Heads that put out an image at a decoder's smaller stages, for a loss at several scales."""

import jax
from flax import linen as nn

from i2i_jax.errors import BadInput
from i2i_jax.layers.conv import Conv, to_image


def check_side_outputs(count: int, most: int) -> None:
  if count > most:
    raise BadInput(f'config.gen.side_outputs = {count}: this generator has {most} smaller stages')


def side_output(x: jax.Array, i: int, channels: int, padding: str) -> jax.Array:
  """An image [B, h, w, channels] in [-1, 1] of the features x [B, h, w, C] at 1 / 2^i of the full size.

  To be called within a module's `__call__`: the convolution is its submodule `side{i}`.
  """
  return to_image(Conv(channels, 3, 1, 1, padding, name=f'side{i}')(nn.relu(x)))
