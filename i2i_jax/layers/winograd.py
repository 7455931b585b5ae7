"""Winograd's convolution: a third of the multiplications, in matrix products.

Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016. A tile of TILE x TILE pixels and the
kernel are taken to as many points, multiplied there, and the product is taken back to the (TILE - k + 1)^2 outputs
of the tile: the Toom-Cook product of polynomials, transposed. Each of the three ways of a convolution is one product
for each point, with sums over channels or over tiles. In float32 its error is five times that of the direct form
(2e-6 of the result's deviation).
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from i2i_jax.layers.patches import Padding, positions, take

TILE = 6
# Barabasz et al., Error Analysis and Improving the Accuracy of Winograd Convolution, TOMS 2020; the last is infinity.
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
KERNELS = (3, 4)


@functools.cache
def transforms(kernel: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Matrices that take k x k kernels, outputs and tiles, flattened, to the TILE * TILE points."""

  def evaluate(terms):
    at_infinity = np.eye(terms)[-1:]
    return np.concatenate([np.vander(POINTS, terms, increasing=True), at_infinity])

  sides = evaluate(kernel), evaluate(TILE - kernel + 1), np.linalg.inv(evaluate(TILE)).T
  return tuple(np.kron(side, side) for side in sides)


def product(matrix: np.ndarray, x: jax.Array) -> jax.Array:
  """[a, b] by [b, ...] to [a, ...]."""
  return (jnp.asarray(matrix, x.dtype) @ x.reshape(len(x), -1)).reshape(len(matrix), *x.shape[1:])


def tiles_of(x: jax.Array, kernel: int, padding: Padding, out_size: Sequence[int]) -> tuple[jax.Array, list[int]]:
  """The input's tiles [TILE * TILE, tiles, C], and how many there are along each side."""
  step = TILE - kernel + 1
  counts = [-(-n // step) for n in out_size]
  at = positions(x.shape, (TILE, TILE), step, counts, before=[first for first, _ in padding])
  return take(x, at), counts


def convolve(x: jax.Array, kernel: jax.Array, padding: Padding, out_size: Sequence[int]) -> jax.Array:
  """x [B, H, W, I] and a kernel [k, k, I, O] to [B, *out_size, O], stride 1."""
  size, _, inputs, outputs = kernel.shape
  step = TILE - size + 1
  of_kernel, of_output, of_input = transforms(size)
  tiles, (rows, cols) = tiles_of(x, size, padding, out_size)
  points = jnp.einsum(
    'pti,pio->pto', product(of_input, tiles), product(of_kernel, kernel.reshape(-1, inputs, outputs))
  )
  y = product(of_output.T, points).reshape(step, step, -1, rows, cols, outputs)
  y = y.transpose(2, 3, 0, 4, 1, 5).reshape(-1, rows * step, cols * step, outputs)
  return y[:, : out_size[0], : out_size[1]]


def kernel_gradient(x: jax.Array, y: jax.Array, padding: Padding, size: int) -> jax.Array:
  """x [B, H, W, I] and y [B, H', W', O] to [size, size, I, O]: the transpose of `convolve` in the kernel."""
  step = TILE - size + 1
  of_kernel, of_output, of_input = transforms(size)
  tiles, counts = tiles_of(x, size, padding, y.shape[1:3])
  grads = take(y, positions(y.shape, (step, step), step, counts, before=(0, 0)))
  points = jnp.einsum('pti,pto->pio', product(of_input, tiles), product(of_output, grads))
  return product(of_kernel.T, points).reshape(size, size, x.shape[-1], y.shape[-1])
