"""The nets of pytorch-CycleGAN-and-pix2pix in plain torch.nn, with the names of its published state dicts.

What needs PyTorch uses it: tests/make_goldens.py, the tests of .pth files, and the table of experiments/speed.
"""

import functools

import torch
from torch import nn

BatchNorm = nn.BatchNorm2d
InstanceNorm = functools.partial(nn.InstanceNorm2d, affine=False)  # has no parameters, so it takes no part in names


def norm_layer(norm):
  """(layer of a number of channels, whether the convolution before it keeps its bias)."""
  return {'batch': (BatchNorm, False), 'instance': (InstanceNorm, True)}[norm]


class Model(nn.Module):
  """A sequence under the name `model`."""

  def __init__(self, layers):
    super().__init__()
    self.model = nn.Sequential(*layers)

  def forward(self, x):
    return self.model(x)


class Skip(Model):
  """A stage of the U-Net, joined to its input along the channels."""

  def forward(self, x):
    return torch.cat([x, self.model(x)], 1)


def unet(channels_in, channels, depth, width, norm='batch', dropout=True):
  """UnetGenerator, from the innermost stage outwards."""
  make, bias = norm_layer(norm)
  widths = [width * min(2**i, 8) for i in range(depth)]
  stage = None
  for i in reversed(range(1, depth)):
    outer, inner = widths[i - 1], widths[i]
    innermost = i == depth - 1
    down = nn.Conv2d(outer, inner, 4, 2, 1, bias=bias)
    up = nn.ConvTranspose2d(inner if innermost else 2 * inner, outer, 4, 2, 1, bias=bias)
    layers = [nn.LeakyReLU(0.2), down, *([] if innermost else [make(inner), stage]), nn.ReLU(), up, make(outer)]
    # The stages between the innermost and the widths that still grow.
    stage = Skip([*layers, nn.Dropout(0.5)] if dropout and not innermost and i >= 4 else layers)
  first = nn.Conv2d(channels_in, width, 4, 2, 1, bias=bias)
  last = nn.ConvTranspose2d(2 * width, channels, 4, 2, 1)
  outermost = Model([first, stage, nn.ReLU(), last, nn.Tanh()])
  net = Model([])
  net.model = outermost  # a stage, no sequence: its names begin with model.model
  return net


class Residual(nn.Module):
  def __init__(self, width, norm, dropout):
    super().__init__()
    make, bias = norm_layer(norm)
    self.conv_block = nn.Sequential(
      *[nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), make(width), nn.ReLU()],
      *([nn.Dropout(0.5)] if dropout else []),
      *[nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), make(width)],
    )

  def forward(self, x):
    return x + self.conv_block(x)


def resnet(channels_in, channels, blocks, width, norm='instance', dropout=False):
  """ResnetGenerator."""
  make, bias = norm_layer(norm)
  layers = [nn.ReflectionPad2d(3), nn.Conv2d(channels_in, width, 7, bias=bias), make(width), nn.ReLU()]
  for i in (1, 2):
    layers += [nn.Conv2d(width * i, width * i * 2, 3, 2, 1, bias=bias), make(width * i * 2), nn.ReLU()]
  layers += [Residual(width * 4, norm, dropout) for _ in range(blocks)]
  for i in (4, 2):
    up = nn.ConvTranspose2d(width * i, width * i // 2, 3, 2, 1, output_padding=1, bias=bias)
    layers += [up, make(width * i // 2), nn.ReLU()]
  return Model([*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh()])


def patchgan(channels_in, layers, width, norm='batch'):
  """NLayerDiscriminator."""
  make, bias = norm_layer(norm)
  found = [nn.Conv2d(channels_in, width, 4, 2, 1), nn.LeakyReLU(0.2)]
  for i in range(1, layers + 1):
    inner, outer = width * min(2 ** (i - 1), 8), width * min(2**i, 8)
    found += [nn.Conv2d(inner, outer, 4, 2 if i < layers else 1, 1, bias=bias), make(outer), nn.LeakyReLU(0.2)]
  return Model([*found, nn.Conv2d(width * min(2**layers, 8), 1, 4, 1, 1)])


class Pixel(nn.Module):
  """PixelDiscriminator."""

  def __init__(self, channels_in, width, norm='batch'):
    super().__init__()
    make, bias = norm_layer(norm)
    self.net = nn.Sequential(
      *[nn.Conv2d(channels_in, width, 1), nn.LeakyReLU(0.2)],
      *[nn.Conv2d(width, 2 * width, 1, bias=bias), make(2 * width), nn.LeakyReLU(0.2)],
      nn.Conv2d(2 * width, 1, 1, bias=bias),
    )

  def forward(self, x):
    return self.net(x)


def build(config: dict, channels_in: int, channels: int, dropout: bool = False) -> nn.Module:
  """The net of one of our configs, config.gen or config.disc."""
  if config['name'] == 'unet':
    return unet(channels_in, channels, config['depth'], config['width'], config['norm'], dropout)
  if config['name'] == 'resnet':
    return resnet(channels_in, channels, config['blocks'], config['width'], config['norm'], dropout)
  if config['layers']:
    return patchgan(channels_in, config['layers'], config['width'], config['norm'])
  return Pixel(channels_in, config['width'], config['norm'])
