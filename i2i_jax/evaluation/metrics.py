"""Scores of images against their targets: pure functions on [B, H, W, C] in [-1, 1], one number an image.

A metric is an entry of METRICS; tables, curves, pages and sweeps take it from there.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np

from i2i_jax.errors import BadInput


class Scores(NamedTuple):
  """Of one predictor on a split."""

  per_image: dict[str, np.ndarray]  # a number an image
  per_set: dict[str, float]  # what has no value for one image, like FID

  def means(self) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in self.per_image.items()} | self.per_set


class Metric(NamedTuple):
  """How a score is computed and shown."""

  function: Callable | None  # (images, targets: [B, H, W, C] in [-1, 1]) -> [B]; None: of a whole set
  label: str
  digits: int
  unit: str = ''
  lower_is_better: bool = False

  @property
  def head(self) -> str:
    """Of a column: 'PSNR ↑, dB'."""
    return f'{self.label} {"↓" if self.lower_is_better else "↑"}' + (f', {self.unit}' if self.unit else '')

  def text(self, value: float) -> str:
    return f'{value:.{self.digits}f}'


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


METRICS = {
  'psnr': Metric(psnr, 'PSNR', 2, unit='dB'),
  'ssim': Metric(ssim, 'SSIM', 4),
  'l1': Metric(l1, 'L1', 4, lower_is_better=True),
}


def entry(name: str) -> Metric:
  """How a score is shown, also one that has no entry here, like an older run's."""
  return METRICS.get(name, Metric(None, name.upper(), 3))


def ordered(names: Iterable[str]) -> list[str]:
  """Scores in the order of METRICS, others after them."""
  order = list(METRICS)
  return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def lacking(scores: Iterable[str]) -> list[str]:
  """The metrics that are not among `scores`: they were added since."""
  return sorted({name for name, metric in METRICS.items() if metric.function} - set(scores))


@jax.jit
def score(images: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
  """All of METRICS; images are clipped to [-1, 1] first, as a file of them would be."""
  images = jnp.clip(images, -1, 1)
  scores = {name: metric.function(images, targets) for name, metric in METRICS.items() if metric.function}
  for name, values in scores.items():
    if (shape := jnp.shape(values)) != images.shape[:1]:
      raise BadInput(f'metric {name}: it gives {list(shape)} of {len(images)} images; it must give a number each')
  return scores
