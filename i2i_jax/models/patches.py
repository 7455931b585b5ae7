"""Patches of images in one gather. A slice for each pixel of a patch would be a program each to compile, on a CPU."""

import itertools

import jax.numpy as jnp
import numpy as np


def positions(shape, size, step: int, counts, before) -> np.ndarray:
  """Where the pixels of patches lie, for `take`.

  Args:
    shape: of the images, [B, H, W, C]. size: (height, width) of a patch. step: pixels from one patch to the next.
    counts: of patches, (down, across). before: (rows, columns) by which the first begins above and left of its image.

  Returns:
    [pixels of a patch, patches of all images], row by row each.
  """
  batch, *sides = shape[:3]
  (rows, row_in), (cols, col_in) = (
    (at := np.arange(size[i])[:, None] + step * np.arange(counts[i]) - before[i], (at >= 0) & (at < sides[i]))
    for i in range(2)
  )
  images = np.arange(batch)[:, None, None] * sides[0] * sides[1]
  outside = batch * sides[0] * sides[1]
  return np.stack(
    [
      np.where(row_in[i][:, None] & col_in[j], images + rows[i][:, None] * sides[1] + cols[j], outside).reshape(-1)
      for i, j in itertools.product(*map(range, size))
    ]
  ).astype(np.int32)


def take(x, positions):
  """The pixels [*positions.shape, C] of images [B, H, W, C], zeros outside of them."""
  return jnp.take(x.reshape(-1, x.shape[-1]), positions, axis=0, mode='fill', fill_value=0)
