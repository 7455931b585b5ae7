"""Norms with PyTorch's arithmetic: batch, instance, group, layer and spectral. All arrays are [B, H, W, C].

Flax's own differ in ways that raise no error: norms use eps 1e-6, and running variances are biased.
"""

import functools
import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from i2i_jax.errors import choice
from i2i_jax.layers.conv_forms import by_platform
from i2i_jax.runtime.precision import widened

NORMS = ('batch', 'instance', 'group', 'layer', 'none')

GROUPS = 32  # of group norm, fewer where there are fewer channels (Wu and He, Group Normalization, ECCV 2018)

# "Weights N(0, 0.02)": init_weights in models/networks.py of pytorch-CycleGAN-and-pix2pix.
normal_init = nn.initializers.normal(0.02)


class Norm(nn.Module):
  """BatchNorm2d, GroupNorm, LayerNorm over channels, height and width (all affine), or InstanceNorm2d (not).

  As PyTorch computes them; the affine scale starts from N(1, 0.02), as in the reference.
  """

  kind: str = 'batch'
  running_stats: bool = False
  momentum: float = 0.9
  eps: float = 1e-5

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    kind = choice('norm', self.kind, NORMS)
    if kind == 'none':
      return x
    if kind == 'instance':
      return standardise(x, self.eps, False)[0]

    features = x.shape[-1]
    scale = self.param('scale', lambda k, s, d: 1 + normal_init(k, s, d), (features,), jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, (features,), jnp.float32)
    if kind != 'batch':
      groups = math.gcd(features, GROUPS) if kind == 'group' else 1
      grouped = x.reshape(*x.shape[:3], groups, features // groups)
      x = normalise(grouped, *moments(grouped, (1, 2, 4)), self.eps).reshape(x.shape)
      return x * per_channel(scale) + per_channel(bias)

    running_mean = self.variable('batch_stats', 'mean', jnp.zeros, (features,), jnp.float32)
    running_var = self.variable('batch_stats', 'var', jnp.ones, (features,), jnp.float32)
    if self.running_stats:
      y = normalise(x, per_channel(running_mean.value), per_channel(running_var.value), self.eps)
    else:
      y, mean, var = standardise(x, self.eps, True)
      if self.is_mutable_collection('batch_stats') and not self.is_initializing():
        count = x.size // features
        unbiased = var * (count / max(count - 1, 1))
        for running, new in ((running_mean, mean), (running_var, unbiased)):
          running.value = self.momentum * running.value + (1 - self.momentum) * new.reshape(features)
    return y * per_channel(scale) + per_channel(bias)


def per_channel(v: jax.Array) -> jax.Array:
  """[C] to [1, 1, 1, C]."""
  return v.reshape(1, 1, 1, -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def standardise(x: jax.Array, eps: float, over_batch: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
  """(x - mean) / sqrt(var + eps) by channel, over height and width, and over the batch if asked for.

  Returns:
    That, the mean and the biased variance; neither of the last two carries a gradient.
  """
  return _standardise_fwd(x, eps, over_batch)[0]


def _standardise_fwd(x: jax.Array, eps: float, over_batch: bool) -> tuple:
  wide = widened(x)
  mean = mean_of_pixels(wide, over_batch)
  var = mean_of_pixels(jnp.square(wide - mean), over_batch)
  return (normalise(x, mean, var, eps), mean, var), (x, mean, var)


def _standardise_bwd(eps: float, over_batch: bool, saved: tuple, cotangents: tuple) -> tuple[jax.Array]:
  x, mean, var = saved
  grads = widened(cotangents[0])
  y = normalise(widened(x), mean, var, eps)
  centred = grads - mean_of_pixels(grads, over_batch) - y * mean_of_pixels(grads * y, over_batch)
  return ((centred * lax.rsqrt(var + eps)).astype(x.dtype),)


standardise.defvjp(_standardise_fwd, _standardise_bwd)


def mean_of_pixels(x: jax.Array, over_batch: bool = False) -> jax.Array:
  """The mean of [B, H, W, C] over height and width, kept as axes of size 1, and over the batch if asked for."""

  def by_product(x):  # rows are added up as a matrix product, which uses all cores and no copy
    batch, height, width, channels = x.shape
    ones = jnp.full((1, height), 1 / height, x.dtype)
    return (ones @ x.reshape(batch, height, -1)).reshape(batch, 1, width, channels).mean(2, keepdims=True)

  mean = by_platform(by_product, lambda x: x.mean((1, 2), keepdims=True), x)
  return mean.mean(0, keepdims=True) if over_batch else mean


def moments(x: jax.Array, axes: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
  """Mean and biased variance over `axes`, kept as axes of size 1, at least in float32."""
  x = widened(x)
  mean = x.mean(axes, keepdims=True)
  return mean, jnp.square(x - mean).mean(axes, keepdims=True)


def normalise(x: jax.Array, mean: jax.Array, var: jax.Array, eps: float) -> jax.Array:
  return ((widened(x) - mean) * lax.rsqrt(var + eps)).astype(x.dtype)


def spectral_normalise(module: nn.Module, kernel: jax.Array, *, running_stats: bool, name: str = 'u') -> jax.Array:
  """A kernel [..., out] of `module` divided by an estimate of its largest singular value.

  Miyato et al., Spectral Normalization for Generative Adversarial Networks, ICLR 2018; torch.nn.utils.spectral_norm.
  The module keeps the left singular vector [out] as `name` in 'batch_stats'. One power iteration a forward in
  which that collection may change; none with `running_stats`. The vectors are constants to the gradient.
  """
  draw = lambda: unit(jax.random.normal(module.make_rng('params'), kernel.shape[-1:], jnp.float32))  # noqa: E731
  stored = module.variable('batch_stats', name, draw)
  matrix = widened(kernel.reshape(-1, kernel.shape[-1]))
  fixed, u = lax.stop_gradient(matrix), stored.value
  v = unit(fixed @ u)
  if not running_stats and not module.is_initializing() and module.is_mutable_collection('batch_stats'):
    u = unit(v @ fixed)
    stored.value = u
  return (kernel / (v @ matrix @ u)).astype(kernel.dtype)


def unit(v: jax.Array) -> jax.Array:
  """v / |v|, with torch.nn.functional.normalize's guard against zero."""
  return v / jnp.maximum(jnp.linalg.norm(v), 1e-12)
