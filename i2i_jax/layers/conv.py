"""Convolutions with PyTorch's arithmetic, which published weights and numbers rest on. All arrays are [B, H, W, C].

Flax's own differ in ways that raise no error: `SAME` pads a strided convolution on one side only.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from i2i_jax.errors import BadInput, choice
from i2i_jax.layers.conv_forms import convolve, input_gradient
from i2i_jax.layers.norm import normal_init, per_channel, spectral_normalise
from i2i_jax.runtime.precision import widened

PADDINGS = {'zero': 'constant', 'reflect': 'reflect', 'replicate': 'edge'}
UPSAMPLES = ('transpose', 'nearest', 'bilinear')
DOWNSAMPLES = ('stride', 'blur')


def check_size(x: jax.Array, multiple: int, net: str, advice: str = '') -> None:
  """Raises BadInput unless height and width of [B, H, W, C] are multiples; `net` is who says so, field first."""
  height, width = x.shape[1:3]
  if height % multiple or width % multiple:
    raise BadInput(f'{net} takes heights and widths that are multiples of {multiple}, not {height}x{width}{advice}')


def pad(x: jax.Array, width: int, mode: str = 'zero') -> jax.Array:
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
  def __call__(self, x: jax.Array) -> jax.Array:
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


def transposed_convolve(
  x: jax.Array, kernel: jax.Array, stride: int, padding: int, output_padding: int = 0
) -> jax.Array:
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
  def __call__(self, x: jax.Array) -> jax.Array:
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
  def __call__(self, x: jax.Array) -> jax.Array:
    kind = choice('upsample', self.kind, UPSAMPLES)
    if kind == 'transpose':
      return ConvTranspose(
        self.features, self.kernel, output_padding=self.kernel % 2, use_bias=self.use_bias, name='conv'
      )(x)
    batch, height, width, channels = x.shape
    x = jax.image.resize(x, (batch, 2 * height, 2 * width, channels), kind)
    return Conv(self.features, 3, 1, 1, self.padding_mode, self.use_bias, name='conv')(x)


def blur(x: jax.Array) -> jax.Array:
  """Halves height and width after a [1, 2, 1] / 4 blur, reflected at the edges: CUT's anti-aliased Downsample.

  Zhang, Making Convolutional Networks Shift-Invariant Again, ICML 2019.
  """
  x = pad(x, 1, 'reflect')
  rows, cols = x.shape[1] - 2, x.shape[2] - 2
  x = (x[:, 0:rows:2] + 2 * x[:, 1 : rows + 1 : 2] + x[:, 2 : rows + 2 : 2]) / 4
  return (x[:, :, 0:cols:2] + 2 * x[:, :, 1 : cols + 1 : 2] + x[:, :, 2 : cols + 2 : 2]) / 4


def to_image(x: jax.Array, source: jax.Array | None = None) -> jax.Array:
  """tanh in float32 at least: images [B, H, W, C] in [-1, 1] whose steps are finer than those of 8 bits.

  With a `source`, an image of the same shape, what is to be added to it: the sum may leave the range, and is clipped
  where it is stored. Kim et al., Accurate Image Super-Resolution Using Very Deep Convolutional Networks, CVPR 2016.
  """
  image = jnp.tanh(widened(x))
  if source is None:
    return image
  if source.shape != image.shape:
    raise BadInput(
      f'config.gen.residual adds the input, of {source.shape[-1]} channels, to an output of {image.shape[-1]}: they '
      'must be as many'
    )
  return image + widened(source)
