"""What the nets of published weights are made of: pure functions of a dict of arrays under the names of its file."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of LPIPS's inputs, a number a channel

Arrays = Mapping[str, Any]
Padding = str | tuple[tuple[int, int], tuple[int, int]]


def folded(arrays: Arrays, conv: str, norm: str = '', eps: float = 1e-3) -> dict[str, np.ndarray]:
  """A layer's 'kernel' [h, w, in, out] and 'bias' [1, 1, 1, out], its batch norm in inference made a part of them."""
  kernel = np.asarray(arrays[f'{conv}.weight'], np.float64)
  bias = np.asarray(arrays.get(f'{conv}.bias', np.zeros(len(kernel))), np.float64)
  if norm:
    scale = arrays[f'{norm}.weight'] / np.sqrt(arrays[f'{norm}.running_var'].astype(np.float64) + eps)
    bias = (bias - arrays[f'{norm}.running_mean']) * scale + arrays[f'{norm}.bias']
    kernel = kernel * scale[:, None, None, None]
  kernel = kernel.transpose(2, 3, 1, 0).astype(np.float32)
  return {'kernel': kernel, 'bias': bias.astype(np.float32)[None, None, None]}


def conv(layer: Arrays, x: jax.Array, stride: int = 1, padding: Padding = 'VALID') -> jax.Array:
  """A convolution [B, H, W, C] to [B, H', W', C']; a 1x1 one is a matrix product."""
  kernel = layer['kernel']
  if kernel.shape[:2] == (1, 1) and stride == 1:
    return jnp.einsum('bhwc,cd->bhwd', x, kernel[0, 0]) + layer['bias']
  numbers = ('NHWC', 'HWIO', 'NHWC')
  return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=numbers) + layer['bias']


def depthwise(layer: Arrays, x: jax.Array, stride: int) -> jax.Array:
  """A convolution of each channel by itself, its kernel [h, w, 1, C], padded as TensorFlow's SAME.

  As shifted products: XLA's grouped convolution is several times slower on a CPU.
  """
  kernel = layer['kernel']
  pads = [same(n, k, stride) for n, k in zip(x.shape[1:3], kernel.shape, strict=False)]
  x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
  height, width = ((n - k) // stride + 1 for n, k in zip(x.shape[1:3], kernel.shape, strict=False))
  y = layer['bias']
  for i in range(kernel.shape[0]):
    for j in range(kernel.shape[1]):
      rows, columns = stride * (height - 1) + 1, stride * (width - 1) + 1
      part = lax.slice(x, (0, i, j, 0), (len(x), i + rows, j + columns, x.shape[3]), (1, stride, stride, 1))
      y = y + part * kernel[i, j][None, None]
  return y


def same(size: int, kernel: int, stride: int) -> tuple[int, int]:
  """TensorFlow's SAME: what is odd goes to the end."""
  total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
  return total // 2, total - total // 2


def max_pool(x: jax.Array, size: int = 3, stride: int = 2, padding: int = 0) -> jax.Array:
  pads = ((0, 0), (padding, padding), (padding, padding), (0, 0))
  return lax.reduce_window(x, -jnp.inf, lax.max, (1, size, size, 1), (1, stride, stride, 1), pads)


def average_pool(x: jax.Array) -> jax.Array:
  """3x3 means, stride 1, of the same size; the padding is not counted."""

  def total(x: jax.Array) -> jax.Array:
    return lax.reduce_window(x, 0.0, lax.add, (1, 3, 3, 1), (1, 1, 1, 1), 'SAME')

  return total(x) / total(jnp.ones((1, *x.shape[1:3], 1), x.dtype))


def unit(x: jax.Array, eps: float = 1e-10) -> jax.Array:
  """Each pixel's channels divided by their length: [B, H, W, C], as LPIPS compares them."""
  return x / (jnp.sqrt(jnp.square(x).sum(-1, keepdims=True)) + eps)


def lpips_input(images: jax.Array) -> jax.Array:
  """Of 0 to 255: to [-1, 1], then LPIPS's own shift and scale of each channel."""
  shift, scale = (np.array(x, np.float32)[None, None, None] for x in (SHIFT, SCALE))
  return (images / 127.5 - 1 - shift) / scale


def with_heads(stages: list, arrays: Arrays) -> list:
  """Each stage with the roots of its channels' weights, none of which is negative."""
  heads = [np.sqrt(arrays[f'lin{i}.model.1.weight'].reshape(1, 1, 1, -1)) for i in range(len(stages))]
  return list(zip(stages, heads, strict=True))


def weighted(x: jax.Array, head: jax.Array) -> jax.Array:
  """A map whose squared differences, added up over channels, are those that LPIPS weighs."""
  return unit(x) * head
