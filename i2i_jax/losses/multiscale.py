"""Pyramids of images, and losses on them: pure functions on [B, H, W, C], means over all but where said.

What is summed up here is summed in float32 at least.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from ml_collections import ConfigDict

from i2i_jax.errors import BadInput
from i2i_jax.losses.reconstruction import l1
from i2i_jax.runtime.precision import widened

# Wang, Simoncelli, Bovik, Multiscale Structural Similarity for Image Quality Assessment, Asilomar 2003.
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def halve(x: jax.Array) -> jax.Array:
  """Halves by 2x2 means; an odd last row or column is dropped."""
  height, width = (n - n % 2 for n in x.shape[1:3])
  x = x[:, :height, :width]
  return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def pyramid(x: jax.Array, levels: int, down: Callable = halve) -> list:
  """[x, down(x), down(down(x)), ...]: `levels` images, largest first."""
  images = [x]
  for _ in range(levels - 1):
    images.append(down(images[-1]))
  return images


def weighted_rows(x: jax.Array, weights: Sequence[float], stride: int, axis: int) -> jax.Array:
  """The valid correlation of one axis of x with `weights`, each `stride`-th value."""
  count = (x.shape[axis] - len(weights)) // stride + 1
  rows = (lax.slice_in_dim(x, i, i + stride * (count - 1) + 1, stride, axis) for i in range(len(weights)))
  return sum(weight * row for weight, row in zip(weights, rows, strict=True))


def blurred(x: jax.Array, stride: int = 1) -> jax.Array:
  """A binomial blur of 5x5, reflected at the edges, each `stride`-th pixel of it."""
  x = jnp.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), 'reflect')
  return weighted_rows(weighted_rows(x, BINOMIAL, stride, 1), BINOMIAL, stride, 2)


def expand(x: jax.Array) -> jax.Array:
  """Doubles [B, H, W, C]: zeros between the pixels, then the blur by 4."""
  return 4 * blurred(lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (0, 1, 1), (0, 1, 1), (0, 0, 0))))


def laplacian_pyramid(x: jax.Array, levels: int) -> list:
  """`levels` - 1 differences between an image and its blur, largest first, and the smallest image itself.

  Burt and Adelson, The Laplacian Pyramid as a Compact Image Code, 1983. `x` is [B, H, W, C], H and W multiples of
  2^(levels - 1) and the smallest image is 2 px or more; adding up, expanded, gives x back.
  """
  parts = []
  for _ in range(levels - 1):
    smaller = blurred(x, 2)
    parts.append(x - expand(smaller))
    x = smaller
  return [*parts, x]


def laplacian_loss(fake: jax.Array, real: jax.Array, levels: int) -> jax.Array:
  """L1 between the levels of the two Laplacian pyramids, averaged each and added up.

  Bojanowski et al., Optimizing the Latent Space of Generative Networks, ICML 2018: the weight 2^2j of its sums at
  level j is what averaging does. `fake` and `real` are [B, H, W, C].

  Raises:
    BadInput: the images cannot be halved so often.
  """
  multiple = 2 ** (levels - 1)
  height, width = fake.shape[1:3]
  if levels < 1 or height % multiple or width % multiple or min(height, width) < 2 * multiple:
    raise BadInput(
      f'config.loss.laplacian_levels = {levels}: such a pyramid takes heights and widths that are multiples of '
      f'{multiple} and {2 * multiple} px or more, not {height}x{width}; choose fewer'
    )
  # The pyramid is linear: that of the difference is the difference of the pyramids.
  return sum(jnp.mean(jnp.abs(part)) for part in laplacian_pyramid(widened(fake) - widened(real), levels))


def similarity(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Means of SSIM and of its contrast-structure part, [B] each, in valid windows of a and b in [0, 1]."""
  offsets = range(-(WINDOW // 2), WINDOW // 2 + 1)
  gauss = [2.718281828459045 ** (-(i**2) / (2 * SIGMA**2)) for i in offsets]
  gauss = [g / sum(gauss) for g in gauss]
  maps = jnp.stack([a, b, a * a, b * b, a * b])
  mean_a, mean_b, aa, bb, ab = weighted_rows(weighted_rows(maps, gauss, 1, 2), gauss, 1, 3)
  c1, c2 = 0.01**2, 0.03**2
  structure = (2 * (ab - mean_a * mean_b) + c2) / (aa - mean_a**2 + bb - mean_b**2 + c2)
  luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
  return (luminance * structure).mean((1, 2, 3)), structure.mean((1, 2, 3))


def ms_ssim(a: jax.Array, b: jax.Array, levels: int = 5) -> jax.Array:
  """Multi-scale structural similarity of images [B, H, W, C] in [-1, 1]: [B], up to 1.

  Wang et al. 2003: windows of 11 px, sigma 1.5, that lie inside the image; 2x2 means between the levels; the first
  `levels` of the five exponents, scaled to a sum of 1. A level whose images are inversely related counts as 1e-6:
  a fractional power has no value there.

  Raises:
    BadInput: an image is smaller than a window at the last level.
  """
  if not 1 <= levels <= len(MS_SSIM_WEIGHTS):
    raise BadInput(f'config.loss.ms_ssim_levels = {levels} must be 1 to {len(MS_SSIM_WEIGHTS)}')
  smallest = WINDOW * 2 ** (levels - 1)
  if min(a.shape[1:3]) < smallest:
    raise BadInput(
      f'config.loss.ms_ssim_levels = {levels}: MS-SSIM takes images of {smallest} px or more, not '
      f'{a.shape[1]}x{a.shape[2]}; choose fewer levels or set config.loss.ms_ssim to 0'
    )
  weights = [w / sum(MS_SSIM_WEIGHTS[:levels]) for w in MS_SSIM_WEIGHTS[:levels]]
  product = 1.0
  pyramids = (pyramid((widened(x) + 1) / 2, levels) for x in (a, b))
  for i, (x, y) in enumerate(zip(*pyramids, strict=True)):
    whole, structure = similarity(x, y)
    product *= jnp.maximum(whole if i == levels - 1 else structure, 1e-6) ** weights[i]
  return product


def side_loss(images: list, real: jax.Array) -> jax.Array:
  """L1 between each image and `real` [B, H, W, C] made as small by 2x2 means, averaged each and added up.

  `images`: [B, H / 2, W / 2, C], [B, H / 4, ...], ...: what a generator puts out on its way, `out['images']`.
  """
  targets = pyramid(widened(real), len(images) + 1)[1:]
  return sum(l1(widened(image), target) for image, target in zip(images, targets, strict=True))


def reconstruction(
  config: ConfigDict, fake: jax.Array, real: jax.Array, images: list
) -> tuple[jax.Array | float, dict]:
  """What `config.loss` asks for besides L1, between a fake and its target [B, H, W, C]: (loss, metrics).

  `images`: the generator's smaller outputs. The metrics are before the weights.
  """
  parts = {}
  if config.laplacian:
    parts['laplacian'] = laplacian_loss(fake, real, config.laplacian_levels)
  if config.ms_ssim:
    parts['ms_ssim'] = 1 - jnp.mean(ms_ssim(fake, real, config.ms_ssim_levels))
  if config.side_outputs:
    parts['side_outputs'] = side_loss(images, real)
  loss = sum((config[name] * part for name, part in parts.items()), 0.0)
  return loss, {f'loss/{name}': part for name, part in parts.items()}


def check(config: ConfigDict) -> None:
  """Raises BadInput where the losses that `config` asks for cannot be had, before anything is made."""
  if bool(config.loss.side_outputs) != bool(config.gen.side_outputs):
    raise BadInput(
      f'config.loss.side_outputs = {config.loss.side_outputs} is a weight, config.gen.side_outputs = '
      f'{config.gen.side_outputs} the number of smaller outputs: set both or none'
    )
  height, width = config.data.crop_size
  sizes = [(height >> i, width >> i) for i in range(config.gen.side_outputs + 1)]
  image, *images = (jax.ShapeDtypeStruct((1, *size, config.data.channels_b), jnp.float32) for size in sizes)
  jax.eval_shape(lambda x, images: reconstruction(config.loss, x, x, images)[1], image, images)
