"""The ResNet generator of CycleGAN.

Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, ICCV 2017 (the net is
Johnson et al.'s, ECCV 2016); ResnetGenerator in models/networks.py of pytorch-CycleGAN-and-pix2pix.
"""

import functools
from collections.abc import Mapping

import jax
from flax import linen as nn
from flax.core import FrozenDict

from i2i_jax.config import BadInput, choice
from i2i_jax.models import attention
from i2i_jax.models.layers import DOWNSAMPLES, Conv, Norm, Upsample, blur
from i2i_jax.models.side import check_side_outputs, side_output


class ResNet(nn.Module):
  """Two halvings, residual blocks, two doublings; or as many as `halvings` says.

  [B, H, W, C] to ([B, H, W, channels] in [-1, 1], {'features': [after stem, each halving and each block], 'images':
  [`side_outputs` smaller outputs, of half the size, a quarter, ...]}). Without a `head` what comes out is the last
  features, [B, H, W, width]. H and W are multiples of 2^halvings. 9 blocks are the reference's net for 256 px, 6 its
  net for 128 px.
  """

  channels: int
  blocks: int = 9
  width: int = 64
  norm: str = 'instance'
  dropout_rate: float = 0.0
  downsample: str = 'stride'
  upsample: str = 'transpose'
  padding: str = 'reflect'  # of the stem, the blocks and the head; the strided convolutions pad zeros
  halvings: int = 2
  head: bool = True
  side_outputs: int = 0
  attention: Mapping = FrozenDict()  # after stem, down0, down1, block0, ..., bottleneck, up0, up1

  @property
  def multiple(self) -> int:
    """Heights and widths must be multiples of it."""
    return 2**self.halvings

  @nn.compact
  def __call__(self, x, *, dropout: bool, running_stats: bool):
    if x.shape[1] % self.multiple or x.shape[2] % self.multiple:
      raise BadInput(
        f'config.gen.name: a net of {self.halvings} halvings takes heights and widths that are multiples of '
        f'{self.multiple}, not {x.shape[1]}x{x.shape[2]}'
      )
    check_side_outputs(self.side_outputs, self.halvings)
    use_bias = self.norm != 'batch'
    blurred = choice('config.gen.downsample', self.downsample, DOWNSAMPLES) == 'blur'

    def norm(name):
      return Norm(self.norm, running_stats, name=f'{name}_norm')

    def activate(name):
      return lambda x: nn.relu(norm(name)(x))

    out = {}
    attend = functools.partial(attention.apply, self.attention, out, running_stats=running_stats)

    x = activate('stem')(Conv(self.width, 7, 1, 3, self.padding, use_bias, name='stem')(x))
    features = [attend('stem', x)]
    for i in range(self.halvings):
      name = f'down{i}'
      x = Conv(self.width * 2 ** (i + 1), 3, 1 if blurred else 2, 1, use_bias=use_bias, name=name)(features[-1])
      x = activate(name)(x)
      features.append(attend(name, blur(x) if blurred else x))

    x = features[-1]
    for i in range(self.blocks):
      y = Conv(x.shape[-1], 3, 1, 1, self.padding, use_bias, name=f'block{i}_conv0')(x)
      y = activate(f'block{i}_conv0')(y)
      y = nn.Dropout(self.dropout_rate, deterministic=not dropout, name=f'block{i}_dropout')(y)
      y = Conv(x.shape[-1], 3, 1, 1, self.padding, use_bias, name=f'block{i}_conv1')(y)
      x = attend(f'block{i}', x + norm(f'block{i}_conv1')(y))
      features.append(x)
    x = attend('bottleneck', x)

    images = []
    for i in range(self.halvings):
      stage = self.halvings - i
      if stage <= self.side_outputs:
        images.insert(0, side_output(x, stage, self.channels, self.padding))
      name = f'up{i}'
      up = Upsample(self.width * 2 ** (stage - 1), self.upsample, 3, self.padding, use_bias, name=name)
      x = attend(name, activate(name)(up(x)))
    out |= {'features': features, 'images': images}
    if not self.head:
      return x, out
    return jax.nn.tanh(Conv(self.channels, 7, 1, 3, self.padding, name='head')(x)), out


def build(config, channels: int) -> ResNet:
  halvings = config.get('halvings', 2)
  downs, ups = ([f'{name}{i}' for i in range(halvings)] for name in ('down', 'up'))
  stages = ['stem', *downs, *(f'block{i}' for i in range(config.blocks)), 'bottleneck', *ups]
  return ResNet(
    channels,
    blocks=config.blocks,
    width=config.width,
    norm=config.norm,
    dropout_rate=config.dropout,
    downsample=config.downsample,
    upsample=config.upsample,
    padding=config.padding,
    halvings=halvings,
    side_outputs=config.get('side_outputs', 0),
    attention=attention.parse(config.get('attention', ''), stages, 'config.gen.attention'),
  )
