"""Scores of images against their targets: pure functions on [B, H, W, C] in [-1, 1], one number an image."""

from typing import NamedTuple

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np


class Scores(NamedTuple):
  """Of one predictor on a split."""

  per_image: dict[str, np.ndarray]  # a number an image
  per_set: dict[str, float]  # what has no value for one image, like FID

  def means(self) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in self.per_image.items()} | self.per_set


NAMES = ('psnr', 'ssim', 'l1')
LOWER_IS_BETTER = ('l1',)


def l1(images: jax.Array, targets: jax.Array) -> jax.Array:
  """Mean absolute difference, in units of the range [-1, 1]: 0 to 2."""
  return jnp.abs(images - targets).mean((1, 2, 3))


def psnr(images: jax.Array, targets: jax.Array) -> jax.Array:
  """Peak signal-to-noise ratio in dB, 100 at most, which is for equal images; the peak is the range's width."""
  return 10 * jnp.log10(4 / jnp.maximum(jnp.square(images - targets).mean((1, 2, 3)), 4e-10))


def ssim(images: jax.Array, targets: jax.Array) -> jax.Array:
  """Structural similarity with an 11x11 Gaussian window of sigma 1.5 (Wang et al. 2004), up to 1.

  As skimage.metrics.structural_similarity(gaussian_weights=True, use_sample_covariance=False).
  """
  return jax.vmap(lambda a, b: dm_pix.ssim((a + 1) / 2, (b + 1) / 2, max_val=1.0))(images, targets)


def score(images: jax.Array, targets: jax.Array) -> dict:
  """All of them; images are clipped to [-1, 1] first, as a file of them would be."""
  images = jnp.clip(images, -1, 1)
  return {'l1': l1(images, targets), 'psnr': psnr(images, targets), 'ssim': ssim(images, targets)}


score = jax.jit(score)
