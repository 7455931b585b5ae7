"""One discriminator a scale of an image pyramid: what makes any discriminator multi-scale.

Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs (pix2pixHD), CVPR 2018;
MultiscaleDiscriminator in models/networks.py of NVIDIA/pix2pixHD.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from i2i_jax.errors import BadInput

MOST = 4


def average_pool(x: jax.Array) -> jax.Array:
  """Halves by 3x3 means, stride 2, padding 1 that is not counted: [B, H, W, C] to [B, ceil(H/2), ceil(W/2), C].

  torch.nn.AvgPool2d(3, 2, 1, count_include_pad=False), between the scales of pix2pixHD's nets.
  """

  def total(x):
    return lax.reduce_window(x, 0.0, lax.add, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0)))

  return total(x) / total(jnp.ones((1, *x.shape[1:3], 1), x.dtype))


class Pyramid(nn.Module):
  """Each discriminator judges an image half as large as that of the one before, by 3x3 means.

  [B, H, W, C] to ([logits of the full size, of the half, ...], {'features': [a list a scale], 'scales': [all that
  each puts out]}). `discs` are counted from the smallest scale, so that those of a run of fewer scales and smaller
  images are the first of this one.
  """

  discs: tuple[nn.Module, ...]

  @nn.compact
  def __call__(self, x: jax.Array, *, running_stats: bool) -> tuple[list[jax.Array], dict]:
    logits, outs = [], []
    for disc in reversed(self.discs):
      y, out = disc(x, running_stats=running_stats)
      logits.append(y)
      outs.append(out)
      x = average_pool(x)
    return logits, {'features': [out['features'] for out in outs], 'scales': outs}


def of_scales(scales: int, make: Callable) -> nn.Module:
  """The net that `make()` builds, or for `scales` 2 to 4 a Pyramid of so many."""
  if not 1 <= scales <= MOST:
    raise BadInput(f'config.disc.scales = {scales} must be 1 to {MOST}')
  return make() if scales == 1 else Pyramid(tuple(make() for _ in range(scales)))
