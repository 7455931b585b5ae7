"""Patches of images in one gather. A slice for each pixel of a patch would be a program each to compile, on a CPU."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

Padding = tuple[tuple[int, int], tuple[int, int]]  # ((top, bottom), (left, right))


def positions(
  shape: Sequence[int], size: Sequence[int], step: int, counts: Sequence[int], before: Sequence[int]
) -> np.ndarray:
  """Where the pixels of patches lie, for `take`.

  Args:
    shape: of the images, [B, H, W, C]. size: (height, width) of a patch. step: pixels from one patch to the next.
    counts: of patches, (down, across). before: (rows, columns) by which the first begins above and left of its image.

  Returns:
    [pixels of a patch, patches of all images], row by row each.
  """
  batch, height, width = shape[:3]
  rows, cols = (
    np.arange(k)[:, None] + step * np.arange(n) - first for k, n, first in zip(size, counts, before, strict=True)
  )
  rows, cols = rows[:, None, None, :, None], cols[:, None, None, :]  # with images: [h, w, B, down, across]
  images = np.arange(batch)[:, None, None]
  inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
  at = np.where(inside, (images * height + rows) * width + cols, batch * height * width)
  return at.reshape(size[0] * size[1], -1).astype(np.int32)


def take(x: jax.Array, positions: np.ndarray) -> jax.Array:
  """The pixels [*positions.shape, C] of images [B, H, W, C], zeros outside of them."""
  pixels = x.reshape(math.prod(x.shape[:3]), x.shape[-1])
  return jnp.take(pixels, positions, axis=0, mode='fill', fill_value=0)
