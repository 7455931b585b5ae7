"""Convolutions and norms with PyTorch's arithmetic, which published weights and numbers rest on.

Flax's own layers differ in ways that raise no error: `SAME` pads a strided convolution on one side only, norms
use eps 1e-6, and running variances are biased. All arrays are [B, H, W, C].
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from i2i_jax.config import BadInput, choice
from i2i_jax.models.conv import by_platform, convolve, input_gradient
from i2i_jax.precision import widened

PADDINGS = {'zero': 'constant', 'reflect': 'reflect', 'replicate': 'edge'}
NORMS = ('batch', 'instance', 'group', 'layer', 'none')
UPSAMPLES = ('transpose', 'nearest', 'bilinear')
DOWNSAMPLES = ('stride', 'blur')
GROUPS = 32  # of group norm, fewer where there are fewer channels (Wu and He, Group Normalization, ECCV 2018)

# "Weights N(0, 0.02)": init_weights in models/networks.py of pytorch-CycleGAN-and-pix2pix.
normal_init = nn.initializers.normal(0.02)


def check_size(x, multiple: int, net: str, advice: str = ''):
  """Raises BadInput unless height and width of [B, H, W, C] are multiples; `net` is who says so, field first."""
  height, width = x.shape[1:3]
  if height % multiple or width % multiple:
    raise BadInput(f'{net} takes heights and widths that are multiples of {multiple}, not {height}x{width}{advice}')


def pad(x, width: int, mode: str = 'zero'):
  """Pads height and width of [B, H, W, C] by `width` on each side; `reflect` does not repeat the edge."""
  numpy_mode = PADDINGS[choice('padding', mode, PADDINGS)]
  return jnp.pad(x, ((0, 0), (width, width), (width, width), (0, 0)), numpy_mode) if width else x


class Conv(nn.Module):
  """torch.nn.Conv2d: explicit padding on both sides; kernel [k, k, in, out]. `spectral`: see spectral_normalise."""

  features: int
  kernel: int
  stride: int = 1
  padding: int = 0
  padding_mode: str = 'zero'
  use_bias: bool = True
  spectral: bool = False
  running_stats: bool = False  # of the spectral norm
  kernel_init: Callable = normal_init

  @nn.compact
  def __call__(self, x):
    shape = (self.kernel, self.kernel, x.shape[-1], self.features)
    kernel = self.param('kernel', self.kernel_init, shape, jnp.float32)
    if self.spectral:
      kernel = spectral_normalise(self, kernel, running_stats=self.running_stats)
    if self.padding_mode == 'zero':
      y = convolve(x, kernel, self.stride, ((self.padding, self.padding),) * 2)
    else:
      y = convolve(pad(x, self.padding, self.padding_mode), kernel, self.stride)
    if self.use_bias:
      y += per_channel(self.param('bias', nn.initializers.zeros, (self.features,), jnp.float32))
    return y


def transposed_convolve(x, kernel, stride: int, padding: int, output_padding: int = 0):
  """torch.nn.functional.conv_transpose2d: y[s i + k - p] += x[i] kernel[k], summed over input channels.

  Args:
    x: [B, H, W, I]. kernel: [k, k, O, I], that of the convolution whose transpose this is; not flipped.

  Returns:
    [B, H', W', O] with H' = (H - 1) * stride - 2 * padding + k + output_padding.
  """
  size = tuple((n - 1) * stride - 2 * padding + len(kernel) + output_padding for n in x.shape[1:3])
  return input_gradient(x, kernel, stride, ((padding, padding),) * 2, size)


class ConvTranspose(nn.Module):
  """torch.nn.ConvTranspose2d; kernel [k, k, out, in]."""

  features: int
  kernel: int
  stride: int = 2
  padding: int = 1
  output_padding: int = 0
  use_bias: bool = True

  @nn.compact
  def __call__(self, x):
    shape = (self.kernel, self.kernel, self.features, x.shape[-1])
    kernel = self.param('kernel', normal_init, shape, jnp.float32)
    y = transposed_convolve(x, kernel, self.stride, self.padding, self.output_padding)
    if self.use_bias:
      y += per_channel(self.param('bias', nn.initializers.zeros, (self.features,), jnp.float32))
    return y


class Upsample(nn.Module):
  """Doubles height and width: a transposed convolution (k4 s2 p1, or k3 with output padding 1), or interpolation
  and a convolution k3.

  The second has no checkerboards (Odena et al. 2016, https://distill.pub/2016/deconv-checkerboard). 'bilinear' is
  also what CUT's anti-aliased Upsample computes: a [1, 3, 3, 1] blur.
  """

  features: int
  kind: str = 'transpose'
  kernel: int = 4  # of the transposed convolution
  padding_mode: str = 'zero'
  use_bias: bool = True

  @nn.compact
  def __call__(self, x):
    kind = choice('upsample', self.kind, UPSAMPLES)
    if kind == 'transpose':
      return ConvTranspose(
        self.features, self.kernel, output_padding=self.kernel % 2, use_bias=self.use_bias, name='conv'
      )(x)
    batch, height, width, channels = x.shape
    x = jax.image.resize(x, (batch, 2 * height, 2 * width, channels), kind)
    return Conv(self.features, 3, 1, 1, self.padding_mode, self.use_bias, name='conv')(x)


def blur(x):
  """Halves height and width after a [1, 2, 1] / 4 blur, reflected at the edges: CUT's anti-aliased Downsample.

  Zhang, Making Convolutional Networks Shift-Invariant Again, ICML 2019.
  """
  x = pad(x, 1, 'reflect')
  rows, cols = x.shape[1] - 2, x.shape[2] - 2
  x = (x[:, 0:rows:2] + 2 * x[:, 1 : rows + 1 : 2] + x[:, 2 : rows + 2 : 2]) / 4
  return (x[:, :, 0:cols:2] + 2 * x[:, :, 1 : cols + 1 : 2] + x[:, :, 2 : cols + 2 : 2]) / 4


class Norm(nn.Module):
  """BatchNorm2d, GroupNorm, LayerNorm over channels, height and width (all affine), or InstanceNorm2d (not).

  As PyTorch computes them; the affine scale starts from N(1, 0.02), as in the reference.
  """

  kind: str = 'batch'
  running_stats: bool = False
  momentum: float = 0.9
  eps: float = 1e-5

  @nn.compact
  def __call__(self, x):
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


def per_channel(v):
  """[C] to [1, 1, 1, C]."""
  return v.reshape(1, 1, 1, -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def standardise(x, eps: float, over_batch: bool):
  """(x - mean) / sqrt(var + eps) by channel, over height and width, and over the batch if asked for.

  Returns:
    That, the mean and the biased variance; neither of the last two carries a gradient.
  """
  return _standardise_fwd(x, eps, over_batch)[0]


def _standardise_fwd(x, eps, over_batch):
  wide = widened(x)
  mean = mean_of_pixels(wide, over_batch)
  var = mean_of_pixels(jnp.square(wide - mean), over_batch)
  return (normalise(x, mean, var, eps), mean, var), (x, mean, var)


def _standardise_bwd(eps, over_batch, saved, cotangents):
  x, mean, var = saved
  grads = widened(cotangents[0])
  y = normalise(widened(x), mean, var, eps)
  centred = grads - mean_of_pixels(grads, over_batch) - y * mean_of_pixels(grads * y, over_batch)
  return ((centred * lax.rsqrt(var + eps)).astype(x.dtype),)


standardise.defvjp(_standardise_fwd, _standardise_bwd)


def mean_of_pixels(x, over_batch: bool = False):
  """The mean of [B, H, W, C] over height and width, kept as axes of size 1, and over the batch if asked for."""

  def by_product(x):  # rows are added up as a matrix product, which uses all cores and no copy
    batch, height, width, channels = x.shape
    ones = jnp.full((1, height), 1 / height, x.dtype)
    return (ones @ x.reshape(batch, height, -1)).reshape(batch, 1, width, channels).mean(2, keepdims=True)

  mean = by_platform(by_product, lambda x: x.mean((1, 2), keepdims=True), x)
  return mean.mean(0, keepdims=True) if over_batch else mean


def to_image(x):
  """tanh in float32 at least: images [B, H, W, C] in [-1, 1] whose steps are finer than those of 8 bits."""
  return jnp.tanh(widened(x))


def moments(x, axes):
  """Mean and biased variance over `axes`, kept as axes of size 1, at least in float32."""
  x = widened(x)
  mean = x.mean(axes, keepdims=True)
  return mean, jnp.square(x - mean).mean(axes, keepdims=True)


def normalise(x, mean, var, eps):
  return ((widened(x) - mean) * lax.rsqrt(var + eps)).astype(x.dtype)


def spectral_normalise(module: nn.Module, kernel, *, running_stats: bool, name: str = 'u'):
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


def unit(v):
  """v / |v|, with torch.nn.functional.normalize's guard against zero."""
  return v / jnp.maximum(jnp.linalg.norm(v), 1e-12)
