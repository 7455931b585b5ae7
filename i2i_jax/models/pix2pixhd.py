"""pix2pixHD's coarse-to-fine generator: a global net on small images and local enhancers around it.

Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs, CVPR 2018;
GlobalGenerator and LocalEnhancer in models/networks.py of NVIDIA/pix2pixHD.

The global net alone (`config.gen.local` = 0) is a ResNet of 4 halvings. Train it first, at half the size; a second
run with `local` = 1 then starts from it with --init_from, and `config.gen.freeze_global_steps` holds it fixed for the
first steps. Biases start from 0, where the reference leaves PyTorch's own.
"""

import functools
from collections.abc import Mapping

import jax
from flax import linen as nn
from ml_collections import ConfigDict

from i2i_jax.errors import BadInput
from i2i_jax.layers.conv import Conv, Upsample, check_size, to_image
from i2i_jax.layers.norm import Norm
from i2i_jax.layers.pyramid import average_pool
from i2i_jax.layers.remat import stage
from i2i_jax.models import resnet


class LocalEnhancer(nn.Module):
  """[B, H, W, C] to ([B, H, W, channels] in [-1, 1], {'features': the global net's and each enhancer's last}).

  The global net sees the image halved `local` times by 3x3 means, and its last features are added to those of an
  enhancer's encoder: a halving, `blocks` residual blocks, a doubling. Enhancer i, counted from the smallest, is
  half as wide as what it surrounds; attention and config.gen.downsample are the global net's alone. H and W are
  multiples of `multiple`.
  """

  channels: int
  coarse: resnet.ResNet  # without its head
  local: int = 1
  blocks: int = 3
  norm: str = 'instance'
  padding: str = 'reflect'
  upsample: str = 'transpose'

  @property
  def multiple(self) -> int:
    """Heights and widths must be multiples of it."""
    return self.coarse.multiple * 2**self.local

  @property
  def stage_widths(self) -> tuple[int, ...]:
    """Of the global net."""
    return self.coarse.stage_widths

  @property
  def attention(self) -> Mapping:
    """Of the global net, by stage."""
    return self.coarse.attention

  @nn.compact
  def __call__(self, x: jax.Array, *, dropout: bool, running_stats: bool) -> tuple[jax.Array, dict]:
    check_size(x, self.multiple, f'config.gen.halvings: with {self.local} local enhancers this net')
    use_bias = self.norm != 'batch'

    def activate(name, x):
      return nn.relu(Norm(self.norm, running_stats, name=f'{name}_norm')(x))

    def enter(x, y, name, width):
      z = Conv(width, 7, 1, 3, self.padding, use_bias, name=f'{name}_stem')(x)
      z = Conv(2 * width, 3, 2, 1, use_bias=use_bias, name=f'{name}_down')(activate(f'{name}_stem', z))
      return activate(f'{name}_down', z) + y

    def leave(y, name, width):
      y = Upsample(width, self.upsample, 3, self.padding, use_bias, name=f'{name}_up')(y)
      return activate(f'{name}_up', y)

    inputs = [x]
    for _ in range(self.local):
      inputs.append(average_pool(inputs[-1]))
    y, out = self.coarse(inputs[-1], dropout=dropout, running_stats=running_stats)
    features = [*out['features']]
    for i in range(self.local):
      width, name = self.stage_widths[0] // 2 ** (i + 1), f'local{i}'
      y = stage(self, functools.partial(enter, name=name, width=width), inputs[-2 - i], y)
      if self.blocks:
        blocks = resnet.Blocks(self.blocks, self.norm, padding=self.padding, name=f'{name}_blocks')
        y, _ = blocks(y, 0, self.blocks, dropout=False, running_stats=running_stats)
      y = stage(self, functools.partial(leave, name=name, width=width), y)
      features.append(y)
    y = Conv(self.channels, 7, 1, 3, self.padding, name='head')(y)
    return to_image(y, inputs[0] if self.coarse.residual else None), {**out, 'features': features, 'images': []}


def generator(config: ConfigDict, channels: int) -> nn.Module:
  """`config.width` is the global net's; `config.local` 0 is that net alone, for images up to about 1024 px wide."""
  coarse = resnet.generator(config, channels)
  if not config.local:
    return coarse
  if config.side_outputs:
    raise BadInput('config.gen.side_outputs: local enhancers have no smaller outputs; set it to 0')
  if (width := coarse.stage_widths[0]) % 2**config.local:
    raise BadInput(f'config.gen.width = {width} cannot be halved {config.local} times, for the local enhancers')
  return LocalEnhancer(
    channels,
    coarse.clone(head=False),
    local=config.local,
    blocks=config.local_blocks,
    norm=config.norm,
    padding=config.padding,
    upsample=config.upsample,
  )
