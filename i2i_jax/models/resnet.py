"""The ResNet generator of CycleGAN.

Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, ICCV 2017 (the net is
Johnson et al.'s, ECCV 2016); ResnetGenerator in models/networks.py of pytorch-CycleGAN-and-pix2pix.
"""

import functools
from collections.abc import Mapping

from flax import linen as nn
from flax.core import FrozenDict

from i2i_jax.config import BadInput, choice
from i2i_jax.models import attention
from i2i_jax.models.layers import DOWNSAMPLES, Conv, Norm, Upsample, blur, to_image
from i2i_jax.models.remat import stage
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
  widths: tuple[int, ...] = ()  # after the stem and each halving, in place of width
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

  @property
  def stage_widths(self) -> tuple[int, ...]:
    """Channels after the stem and after each halving."""
    count = self.halvings + 1
    if len(self.widths) not in (0, count):
      raise BadInput(f'config.gen.widths = {self.widths} must name {count} widths, or none')
    return self.widths or tuple(self.width * 2**i for i in range(count))

  @nn.compact
  def __call__(self, x, *, dropout: bool, running_stats: bool):
    if x.shape[1] % self.multiple or x.shape[2] % self.multiple:
      raise BadInput(
        f'config.gen.name: a net of {self.halvings} halvings takes heights and widths that are multiples of '
        f'{self.multiple}, not {x.shape[1]}x{x.shape[2]}'
      )
    check_side_outputs(self.side_outputs, self.halvings)
    use_bias = self.norm != 'batch'
    widths = self.stage_widths
    blurred = choice('config.gen.downsample', self.downsample, DOWNSAMPLES) == 'blur'

    def norm(name):
      return Norm(self.norm, running_stats, name=f'{name}_norm')

    def activate(name):
      return lambda x: nn.relu(norm(name)(x))

    out = {}
    attend = functools.partial(attention.apply, self.attention, out, running_stats=running_stats)

    def stem(x):
      return activate('stem')(Conv(widths[0], 7, 1, 3, self.padding, use_bias, name='stem')(x))

    def down(x, i):
      name, stride = f'down{i}', 1 if blurred else 2
      x = activate(name)(Conv(widths[i + 1], 3, stride, 1, use_bias=use_bias, name=name)(x))
      return blur(x) if blurred else x

    def block(x, i):
      y = Conv(x.shape[-1], 3, 1, 1, self.padding, use_bias, name=f'block{i}_conv0')(x)
      y = activate(f'block{i}_conv0')(y)
      y = nn.Dropout(self.dropout_rate, deterministic=not dropout, name=f'block{i}_dropout')(y)
      y = Conv(x.shape[-1], 3, 1, 1, self.padding, use_bias, name=f'block{i}_conv1')(y)
      return x + norm(f'block{i}_conv1')(y)

    def up(x, i):
      name, width = f'up{i}', widths[self.halvings - i - 1]
      return activate(name)(Upsample(width, self.upsample, 3, self.padding, use_bias, name=name)(x))

    features = [attend('stem', stage(self, stem, x))]
    for i in range(self.halvings):
      features.append(attend(f'down{i}', stage(self, functools.partial(down, i=i), features[-1])))

    x = features[-1]
    for i in range(self.blocks):
      x = attend(f'block{i}', stage(self, functools.partial(block, i=i), x))
      features.append(x)
    x = attend('bottleneck', x)

    images = []
    for i in range(self.halvings):
      level = self.halvings - i
      if level <= self.side_outputs:
        images.insert(0, side_output(x, level, self.channels, self.padding))
      x = attend(f'up{i}', stage(self, functools.partial(up, i=i), x))
    out |= {'features': features, 'images': images}
    if not self.head:
      return x, out
    return to_image(Conv(self.channels, 7, 1, 3, self.padding, name='head')(x)), out


def build(config, channels: int) -> ResNet:
  halvings = config.get('halvings', 2)
  downs, ups = ([f'{name}{i}' for i in range(halvings)] for name in ('down', 'up'))
  stages = ['stem', *downs, *(f'block{i}' for i in range(config.blocks)), 'bottleneck', *ups]
  return ResNet(
    channels,
    blocks=config.blocks,
    width=config.width,
    widths=tuple(config.get('widths', ())),
    norm=config.norm,
    dropout_rate=config.dropout,
    downsample=config.downsample,
    upsample=config.upsample,
    padding=config.padding,
    halvings=halvings,
    side_outputs=config.get('side_outputs', 0),
    attention=attention.parse(config.get('attention', ''), stages, 'config.gen.attention'),
  )
