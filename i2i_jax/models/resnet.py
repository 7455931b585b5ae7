"""The ResNet generator of CycleGAN.

Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, ICCV 2017 (the net is
Johnson et al.'s, ECCV 2016); ResnetGenerator in models/networks.py of pytorch-CycleGAN-and-pix2pix.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.core import FrozenDict
from ml_collections import ConfigDict

from i2i_jax.errors import BadInput, choice
from i2i_jax.layers import attention, conv_forms
from i2i_jax.layers.conv import DOWNSAMPLES, Conv, Upsample, blur, check_size, to_image
from i2i_jax.layers.norm import Norm
from i2i_jax.layers.remat import repeated, stage
from i2i_jax.layers.side import check_side_outputs, side_output


class Block(nn.Module):
  """x + norm(conv(dropout(relu(norm(conv(x)))))), all [B, H, W, C]."""

  norm: str = 'instance'
  dropout_rate: float = 0.0
  padding: str = 'reflect'

  @nn.compact
  def __call__(self, x: jax.Array, *, dropout: bool, running_stats: bool) -> tuple[jax.Array, dict]:
    def convolved(name, y):
      y = Conv(x.shape[-1], 3, 1, 1, self.padding, self.norm != 'batch', name=name)(y)
      return Norm(self.norm, running_stats, name=f'{name}_norm')(y)

    y = nn.relu(convolved('conv0', x))
    y = nn.Dropout(self.dropout_rate, deterministic=not dropout, name='dropout')(y)
    return x + convolved('conv1', y)


class Blocks(nn.Module):
  """A stack of `count` Blocks; a call runs some of them, as one loop where that costs no time: then one is compiled.

  [B, H, W, C] to ([B, H, W, C], the outputs of each block [stop - start, B, H, W, C]). Variables are a Block's, with
  an axis in front, over all blocks.
  """

  count: int
  norm: str = 'instance'
  dropout_rate: float = 0.0
  padding: str = 'reflect'

  @nn.compact
  def __call__(
    self, x: jax.Array, start: int, stop: int, *, dropout: bool, running_stats: bool
  ) -> tuple[jax.Array, dict]:
    block = Block(self.norm, self.dropout_rate, self.padding, parent=None)
    switches: dict[str, Any] = {'dropout': dropout, 'running_stats': running_stats}
    if self.is_initializing() and not self.variables:
      init = lambda rng: block.lazy_init(rng, jax.ShapeDtypeStruct(x.shape, x.dtype), **switches)  # noqa: E731
      for kind, tree in jax.vmap(init)(jax.random.split(self.make_rng('params'), self.count)).items():
        for name, value in tree.items():
          self.put_variable(kind, name, value)

    variables = {kind: dict(self.variables.get(kind, {})) for kind in ('params', 'batch_stats')}
    some = jax.tree.map(lambda v: v[start:stop], variables)
    mutable = ['batch_stats'] if self.is_mutable_collection('batch_stats') else []
    drops = dropout and self.dropout_rate > 0
    rngs = jax.random.split(self.make_rng('dropout'), stop - start) if drops else None

    def step(x, xs):
      variables, rng = xs
      rngs = {'dropout': rng} if drops else {}
      x, changed = block.apply(variables, x, mutable=mutable, rngs=rngs, **switches)
      return x, (x, changed)

    unroll = 1 if conv_forms.fast_in_loops(x) else stop - start
    x, (features, changed) = jax.lax.scan(repeated(step), x, (some, rngs), unroll=unroll)
    if not self.is_initializing():
      for name, new in changed.get('batch_stats', {}).items():
        whole = jax.tree.map(
          lambda old, new: jnp.asarray(old).at[start:stop].set(new), variables['batch_stats'][name], new
        )
        self.put_variable('batch_stats', name, whole)
    return x, features


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
  residual: bool = False  # the input is added
  attention: Mapping[str, Callable] = FrozenDict()  # after stem, down0, down1, block0, ..., bottleneck, up0, up1

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
  def __call__(self, x: jax.Array, *, dropout: bool, running_stats: bool) -> tuple[jax.Array, dict]:
    check_size(x, self.multiple, f'config.gen.name: a net of {self.halvings} halvings')
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

    def up(x, i):
      name, width = f'up{i}', widths[self.halvings - i - 1]
      return activate(name)(Upsample(width, self.upsample, 3, self.padding, use_bias, name=name)(x))

    source = x if self.residual else None
    features = [attend('stem', stage(self, stem, x))]
    for i in range(self.halvings):
      features.append(attend(f'down{i}', stage(self, functools.partial(down, i=i), features[-1])))

    x = features[-1]
    blocks = Blocks(self.blocks, self.norm, self.dropout_rate, self.padding, name='blocks')
    start = 0
    for i in range(self.blocks):
      if i == self.blocks - 1 or f'block{i}' in self.attention:
        x, outputs = blocks(x, start, i + 1, dropout=dropout, running_stats=running_stats)
        x = attend(f'block{i}', x)
        features += [*outputs[:-1], x]
        start = i + 1
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
    return to_image(Conv(self.channels, 7, 1, 3, self.padding, name='head')(x), source), out


def generator(config: ConfigDict, channels: int) -> ResNet:
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
    residual=config.get('residual', False),
    attention=attention.parse(config.get('attention', ''), stages, 'config.gen.attention'),
  )
