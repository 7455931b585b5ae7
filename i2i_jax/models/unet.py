"""The U-Net generator of pix2pix.

Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017;
UnetGenerator in models/networks.py of pytorch-CycleGAN-and-pix2pix.
"""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.core import FrozenDict
from ml_collections import ConfigDict

from i2i_jax.errors import BadInput
from i2i_jax.layers import attention
from i2i_jax.layers.conv import Conv, Upsample, check_size, to_image
from i2i_jax.layers.norm import Norm
from i2i_jax.layers.remat import stage
from i2i_jax.layers.side import check_side_outputs, side_output


class UNet(nn.Module):
  """Encoder and decoder of `depth` stages with a skip between equal sizes.

  [B, H, W, C] to ([B, H, W, channels] in [-1, 1], {'features': [the encoder's outputs, largest first], 'images':
  [`side_outputs` smaller outputs of the decoder's stages, of half the size, a quarter, ...]}).
  H and W are multiples of 2^depth. depth 8 is the reference's `unet_256`, 7 its `unet_128`.
  """

  channels: int
  depth: int = 8
  width: int = 64
  max_width: int = 512
  widths: tuple[int, ...] = ()  # of each stage, in place of the two above
  norm: str = 'batch'
  dropout_rate: float = 0.5
  upsample: str = 'transpose'
  padding: str = 'zero'
  side_outputs: int = 0
  residual: bool = False  # the input is added
  attention: Mapping[str, Callable] = FrozenDict()  # after down0, ..., bottleneck, ..., up0, and on skip0, ...

  @property
  def multiple(self) -> int:
    """Heights and widths must be multiples of it."""
    return 2**self.depth

  @property
  def stage_widths(self) -> tuple[int, ...]:
    """Channels that each stage of the encoder puts out."""
    if len(self.widths) not in (0, self.depth):
      raise BadInput(f'config.gen.widths = {self.widths} must name {self.depth} widths, or none')
    return self.widths or tuple(min(self.width * 2**i, self.max_width) for i in range(self.depth))

  @nn.compact
  def __call__(self, x: jax.Array, *, dropout: bool, running_stats: bool) -> tuple[jax.Array, dict]:
    who = f'config.gen.depth: a U-Net of depth {self.depth}'
    check_size(x, self.multiple, who, '; choose another depth or size')
    widths = self.stage_widths
    use_bias = self.norm != 'batch'  # batch norm's own bias makes it void; so the reference, in every stage
    innermost = self.depth - 1
    check_side_outputs(self.side_outputs, innermost)

    source, features, out = x, [], {}
    attend = functools.partial(attention.apply, self.attention, out, running_stats=running_stats)

    def down(x, i):
      if i > 0 and f'down{i - 1}' not in self.attention:
        x = nn.leaky_relu(x, 0.2)
      x = Conv(widths[i], 4, 2, 1, self.padding, use_bias, name=f'down{i}')(x)
      return Norm(self.norm, running_stats, name=f'down{i}_norm')(x) if 0 < i < innermost else x

    def up(i, *xs):
      x = nn.relu(jnp.concatenate(xs, axis=-1))
      if i == 0:
        return Upsample(self.channels, self.upsample, 4, self.padding, name='up0')(x)
      x = Upsample(widths[i - 1], self.upsample, 4, self.padding, use_bias, name=f'up{i}')(x)
      return Norm(self.norm, running_stats, name=f'up{i}_norm')(x)

    for i in range(self.depth):
      x = stage(self, functools.partial(down, i=i), x)
      if f'down{i}' in self.attention:
        # Activated first: behind an instance norm the means that some blocks look at would all be zero.
        x = attend(f'down{i}', x if i == innermost else nn.leaky_relu(x, 0.2))
      features.append(x)

    x = attend('bottleneck', x)
    images = []
    for i in reversed(range(self.depth)):
      skips = []
      if i < innermost:
        skips = [features[i]]
        if f'skip{i}' in self.attention:
          skips = [attend(f'skip{i}', nn.relu(features[i]), nn.relu(x))]
      x = stage(self, functools.partial(up, i), *skips, x)
      if i == 0:
        x = attend('up0', x)
        break
      # The reference drops out in its "num_downs - 5" middle stages: the 512-wide ones but the innermost.
      if 4 <= i < innermost:
        x = nn.Dropout(self.dropout_rate, deterministic=not dropout, name=f'up{i}_dropout')(x)
      if f'up{i}' in self.attention:
        x = attend(f'up{i}', nn.relu(x))
      if i <= self.side_outputs:
        images.insert(0, side_output(x, i, self.channels, self.padding))
    return to_image(x, source if self.residual else None), {'features': features, 'images': images, **out}


def generator(config: ConfigDict, channels: int) -> UNet:
  stages = [f'{side}{i}' for side in ('down', 'up') for i in range(config.depth)]
  stages += ['bottleneck', *(f'skip{i}' for i in range(config.depth - 1))]
  return UNet(
    channels,
    depth=config.depth,
    width=config.width,
    max_width=config.max_width,
    widths=tuple(config.get('widths', ())),
    norm=config.norm,
    dropout_rate=config.dropout,
    upsample=config.upsample,
    padding=config.padding,
    side_outputs=config.get('side_outputs', 0),
    residual=config.get('residual', False),
    attention=attention.parse(config.get('attention', ''), stages, 'config.gen.attention'),
  )
