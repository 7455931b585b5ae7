"""The PatchGAN discriminator of pix2pix, and its 1x1 form, the PixelGAN.

Isola et al., CVPR 2017; NLayerDiscriminator and PixelDiscriminator in models/networks.py of
pytorch-CycleGAN-and-pix2pix.
"""

import functools
from collections.abc import Callable, Mapping

import jax
from flax import linen as nn
from flax.core import FrozenDict
from ml_collections import ConfigDict

from i2i_jax.errors import BadInput
from i2i_jax.layers import attention, remat
from i2i_jax.layers.conv import Conv
from i2i_jax.layers.norm import Norm


class PatchGAN(nn.Module):
  """Judges overlapping patches: [B, H, W, C] to ([B, h, w, 1] logits, {'features': [...]}).

  `layers` strided convolutions; 3 gives the 70x70 px patch, and 30x30 logits for 256 px. 0 is the PixelGAN,
  which judges each pixel alone. pix2pixHD's has padding 2 and instance norm: 35x35. With class activation maps (`cam`
  in `attention`) the logits are a list: those of the patches, then the [B, 2] of each map's classifiers, which a GAN
  loss adds up as U-GAT-IT does.

  Raises:
    BadInput: the image is so small that nothing is left to judge.
  """

  layers: int = 3
  width: int = 64
  norm: str = 'batch'
  padding: int = 1
  spectral_norm: bool = False  # of every convolution
  attention: Mapping[str, Callable] = FrozenDict()  # after conv0, conv1, ...; see attention.parse

  @nn.compact
  def __call__(self, x: jax.Array, *, running_stats: bool) -> tuple[jax.Array | list[jax.Array], dict]:
    use_bias = self.norm != 'batch'
    features, out = [], {}
    attend = functools.partial(attention.apply, self.attention, out, running_stats=running_stats)

    def conv(name, width, kernel, stride=1, padding=0, use_bias=True):
      spectral = {'spectral': self.spectral_norm, 'running_stats': running_stats}
      return Conv(width, kernel, stride, padding, use_bias=use_bias, name=name, **spectral)

    def check(x):
      if min(x.shape[1:3]) < 4 - 2 * self.padding:
        raise BadInput(
          f'config.disc.layers = {self.layers}: too many for the small images here; choose fewer, or scales'
        )

    def block(x, i, width, kernel, stride, padding):
      def compute(x):
        x = conv(f'conv{i}', width, kernel, stride, padding, i == 0 or use_bias)(x)
        if i > 0:
          x = Norm(self.norm, running_stats, name=f'norm{i}')(x)
        return nn.leaky_relu(x, 0.2)

      features.append(attend(f'conv{i}', remat.stage(self, compute, x)))
      return features[-1]

    if self.layers == 0:
      x = block(x, 0, self.width, 1, 1, 0)
      x = block(x, 1, self.width * 2, 1, 1, 0)
      logits = conv('logits', 1, 1, use_bias=use_bias)(x)
    else:
      for i in range(self.layers + 1):
        check(x)
        x = block(x, i, self.width * min(2**i, 8), 4, 2 if i < self.layers else 1, self.padding)
      check(x)
      logits = conv('logits', 1, 4, 1, self.padding)(x)
    y = [logits, *out['cam'].values()] if 'cam' in out else logits
    return y, {'features': features, **out}


def discriminator(config: ConfigDict) -> PatchGAN:
  stages = [f'conv{i}' for i in range((config.layers or 1) + 1)]
  return PatchGAN(
    config.layers,
    config.width,
    config.norm,
    padding=config.get('padding', 1),
    spectral_norm=config.get('spectral_norm', False),
    attention=attention.parse(config.get('attention', ''), stages, 'config.disc.attention'),
  )
