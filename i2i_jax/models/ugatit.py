"""U-GAT-IT's generator and discriminators.

Kim et al., U-GAT-IT: Unsupervised Generative Attentional Networks with Adaptive Layer-Instance Normalization for
Image-to-Image Translation, ICLR 2020; networks.py of znxlwm/UGATIT-pytorch. All layers start as PyTorch's own do,
but for the convolutions' biases, which start from zero.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.core import FrozenDict
from ml_collections import ConfigDict

from i2i_jax.errors import BadInput
from i2i_jax.layers.attention import CAM, fan_in, linear
from i2i_jax.layers.conv import Conv, check_size, to_image
from i2i_jax.layers.norm import Norm, per_channel
from i2i_jax.layers.remat import stage
from i2i_jax.layers.side import check_side_outputs
from i2i_jax.runtime.precision import widened


class LIN(nn.Module):
  """Instance norm and layer norm, mixed channel by channel: rho of the first, 1 - rho of the second.

  AdaLIN takes `style` (gamma, beta), each [B, C], and rho starts from 0.9; without a style both are parameters, and
  rho starts from 0. Variances are unbiased. An update clips rho to [0, 1] (methods/base.py).
  """

  @nn.compact
  def __call__(self, x: jax.Array, style: jax.Array | None = None) -> jax.Array:
    channels = x.shape[-1]
    rho = self.param('rho', nn.initializers.constant(0.9 if style else 0.0), (channels,), jnp.float32)
    if style:
      gamma, beta = (v[:, None, None] for v in style)
    else:
      gamma = per_channel(self.param('gamma', nn.initializers.ones, (channels,), jnp.float32)).astype(x.dtype)
      beta = per_channel(self.param('beta', nn.initializers.zeros, (channels,), jnp.float32)).astype(x.dtype)
    rho = per_channel(rho).astype(x.dtype)
    return (rho * standardise(x, (1, 2)) + (1 - rho) * standardise(x, (1, 2, 3))) * gamma + beta


def standardise(x: jax.Array, axes: tuple[int, ...], eps: float = 1e-5) -> jax.Array:
  """(x - mean) / sqrt(unbiased variance + eps) over `axes`; of a single number the variance is 0."""
  wide = widened(x)
  centred = wide - wide.mean(axes, keepdims=True)
  count = math.prod(x.shape[axis] for axis in axes)
  variance = jnp.square(centred).sum(axes, keepdims=True) / max(count - 1, 1)
  return (centred * jax.lax.rsqrt(variance + eps)).astype(x.dtype)


def clip_rho(params: dict) -> dict:
  """Parameters with each LIN's `rho` clipped to [0, 1]."""
  is_rho = lambda path: getattr(path[-1], 'key', None) == 'rho'  # noqa: E731
  return jax.tree_util.tree_map_with_path(lambda path, p: jnp.clip(p, 0, 1) if is_rho(path) else p, params)


class Generator(nn.Module):
  """Residual blocks around a class activation map, the second half of them styled by what the map has found.

  [B, H, W, C] to ([B, H, W, channels] in [-1, 1], {'features', 'attention': {'bottleneck': [B, H/4, W/4]}, 'cam':
  {'bottleneck': [B, 2]}}). H and W are multiples of 4. Not `light`, the style is read off the whole map by a linear
  layer, and the net takes images of one size only: 256 px make 278,959,808 parameters, 10,589,888 of them if light.
  """

  channels: int
  blocks: int = 4
  width: int = 64
  light: bool = False

  multiple = 4
  attention = FrozenDict({'bottleneck': functools.partial(CAM)})

  @nn.compact
  def __call__(self, x: jax.Array, *, dropout: bool, running_stats: bool) -> tuple[jax.Array, dict]:
    del dropout
    check_size(x, self.multiple, 'config.gen.name: ugatit')
    wide = self.width * 4

    def conv(x, name, features, kernel=3, stride=1):
      padding = kernel // 2
      return Conv(features, kernel, stride, padding, 'reflect', use_bias=False, kernel_init=fan_in, name=name)(x)

    def normed(x, name, *shape):
      return Norm('instance', name=f'{name}_norm')(conv(x, name, *shape))

    def down(x, name, *shape):
      return nn.relu(normed(x, name, *shape))

    def block(x, name):
      y = nn.relu(normed(x, f'{name}_conv0', wide))
      return x + normed(y, f'{name}_conv1', wide)

    def styled(x, style, name):
      y = nn.relu(LIN(name=f'{name}_norm0')(conv(x, f'{name}_conv0', wide), style))
      return x + LIN(name=f'{name}_norm1')(conv(y, f'{name}_conv1', wide), style)

    def up(x, name, width):
      return nn.relu(LIN(name=f'{name}_norm')(conv(x.repeat(2, 1).repeat(2, 2), name, width)))

    features = []
    for layer in (('stem', self.width, 7, 1), ('down0', self.width * 2, 3, 2), ('down1', wide, 3, 2)):
      x = stage(self, lambda x, layer=layer: down(x, *layer), x)
      features.append(x)
    for i in range(self.blocks):
      x = stage(self, functools.partial(block, name=f'block{i}'), x)
      features.append(x)

    x, found = CAM(name='cam')(x, running_stats=running_stats)
    style = x.mean((1, 2)) if self.light else x.reshape(len(x), -1)
    if not self.is_initializing() and style.shape[-1] != len(self.variables['params']['style0']['kernel']):
      raise BadInput('config.gen.light = False: the net takes images of the size it was trained at, and of no other')
    for i in range(2):
      style = nn.relu(linear(f'style{i}', style, wide, use_bias=False))
    style = tuple(linear(name, style, wide, use_bias=False) for name in ('gamma', 'beta'))
    for i in range(self.blocks):
      x = stage(self, functools.partial(styled, name=f'styled{i}'), x, style)
    for i in range(2):
      x = stage(self, functools.partial(up, name=f'up{i}', width=self.width * 2 ** (1 - i)), x)
    x = conv(x, 'head', self.channels, 7)
    out = {'attention': {'bottleneck': found['map']}, 'cam': {'bottleneck': found['logits']}}
    return to_image(x), {'features': features, **out}


class Discriminators(nn.Module):
  """Two PatchGANs with spectral norm and a class activation map each: of `layers` layers, and of two fewer.

  [B, H, W, C] to the list [global logits, global CAM's [B, 2], local logits, local CAM's]. A GAN loss adds the four
  up. 53,130,176 parameters global and 3,290,560 local.
  """

  layers: int = 7
  width: int = 64

  @nn.compact
  def __call__(self, x: jax.Array, *, running_stats: bool) -> tuple[list[jax.Array], dict]:
    y, maps, features = [], {}, []
    for name, layers in (('global', self.layers), ('local', self.layers - 2)):
      logits, found = Discriminator(layers, self.width, name=name)(x, running_stats=running_stats)
      y += [logits, found['logits']]
      maps[name] = found['map']
      features += found['features']
    return y, {'features': features, 'attention': maps}


class Discriminator(nn.Module):
  """Convolutions k4, reflected by 1: all of stride 2 but the last before the map, and the logits' own."""

  layers: int
  width: int

  @nn.compact
  def __call__(self, x: jax.Array, *, running_stats: bool) -> tuple[jax.Array, dict]:
    spectral: dict[str, Any] = {'kernel_init': fan_in, 'spectral': True, 'running_stats': running_stats}
    features = []
    for i in range(self.layers - 1):
      stride, width = 2 if i < self.layers - 2 else 1, self.width * 2**i
      if min(x.shape[1:3]) < 2:
        raise BadInput(f'config.disc.layers: {self.layers} layers halve these images below 1 px; give fewer')
      conv = functools.partial(Conv, width, 4, stride, 1, 'reflect', name=f'conv{i}', **spectral)
      x = stage(self, lambda x, conv=conv: nn.leaky_relu(conv()(x), 0.2), x)
      features.append(x)
    if min(x.shape[1:3]) < 2:
      raise BadInput(f'config.disc.layers: {self.layers} layers halve these images below 1 px; give fewer')
    x, found = CAM(0.2, spectral=True, name='cam')(x, running_stats=running_stats)
    logits = Conv(1, 4, 1, 1, 'reflect', use_bias=False, name='logits', **spectral)(x)
    return logits, {**found, 'features': features}


def generator(config: ConfigDict, channels: int) -> Generator:
  check_attention(config, 'gen')
  check_side_outputs(config.side_outputs, 0)
  return Generator(channels, config.blocks, config.width, config.light)


def discriminator(config: ConfigDict) -> Discriminators:
  check_attention(config, 'disc')
  if config.layers < 4:
    raise BadInput(
      f'config.disc.layers = {config.layers}: ugatit takes 4 or more, for its local discriminator has 2 fewer'
    )
  return Discriminators(config.layers, config.width)


def check_attention(config: ConfigDict, where: str) -> None:
  if config.get('attention', ''):
    raise BadInput(f"config.{where}.attention: ugatit has its own; leave it ''")
