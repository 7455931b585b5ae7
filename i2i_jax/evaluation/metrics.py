"""Scores of images: a metric is an entry of METRICS; tables, curves, pages and sweeps take it from there.

Most are pure functions on images and targets, [B, H, W, C] in [-1, 1], and give a number an image. Others compare
features of images: what a net makes of them. And some compare whole sets, like FID, which has no value for one image.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np

from i2i_jax.evaluation import distances
from i2i_jax.evaluation.features import labels, texture
from i2i_jax.losses import multiscale


class Scores(NamedTuple):
  """Of one predictor on a split."""

  per_image: dict[str, np.ndarray]  # a number an image
  per_set: dict[str, float]  # what has no value for one image, like FID
  deviations: dict[str, float] = {}  # of those in per_set that estimate their own  # noqa: RUF012

  def means(self) -> dict[str, float]:
    found = {name: float(values.mean()) for name, values in self.per_image.items()} | self.per_set
    return {name: found[name] for name in ordered(found)}


class Metric(NamedTuple):
  """How a score is computed and shown."""

  function: Callable | None  # (images, targets) -> [B]; of a whole set -> a float, or (float, its deviation)
  label: str
  digits: int
  unit: str = ''
  lower_is_better: bool = False
  ideal: float | None = None  # the best value, where that is neither the highest nor the lowest
  of: str = ''  # features that it compares, like 'lite0.pool' (evaluation/features/); empty: images themselves
  whole_set: bool = False  # the function takes features of all images, [N, ...] and [M, ...]

  @property
  def head(self) -> str:
    """Of a column: 'PSNR ↑, dB'."""
    sign = '↓' if self.lower_is_better else '↑' if self.ideal is None else f'→{self.ideal:g}'
    return f'{self.label} {sign}' + (f', {self.unit}' if self.unit else '')

  def text(self, value: float) -> str:
    return f'{value:.{self.digits}f}'

  def badness(self, value: float) -> float:
    """The lower the better: what sorts tables and chooses checkpoints."""
    return value if self.lower_is_better else -value if self.ideal is None else abs(value - self.ideal)


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


def ms_ssim(images: jax.Array, targets: jax.Array) -> jax.Array:
  """Multi-scale structural similarity (Wang et al. 2003), up to 1; see losses/multiscale.py.

  With the paper's five scales from 176 px on; smaller images have as many as their 11 px windows fit into: 64 px
  three, whose exponents are scaled to a sum of 1.
  """
  fitting = (min(images.shape[1:3]) // multiscale.WINDOW).bit_length()
  return multiscale.ms_ssim(images, targets, max(1, min(fitting, len(multiscale.MS_SSIM_WEIGHTS))))


def lpips(images: list[jax.Array], targets: list[jax.Array]) -> jax.Array:
  """Squared differences of maps [B, h, w, C], summed up over channels, averaged over pixels, added up: [B].

  Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018.
  """
  parts = [jnp.square(x - y).sum(-1).mean((1, 2)) for x, y in zip(images, targets, strict=True)]
  return jnp.stack(parts).sum(0)


def of_net(net: str, suffix: str, heads: tuple[str, str]) -> dict[str, Metric]:
  """Distances of sets by a net's features; `heads`: the labels of the Fréchet and of the kernel distance."""
  of: dict[str, Any] = {'of': f'{net}.pool', 'whole_set': True}
  names = ('fd', 'kd') if suffix else ('fid', 'kid')
  tail = f' {suffix.strip("_").capitalize()}' if suffix else ''
  return {
    f'{names[0]}{suffix}': Metric(distances.frechet, heads[0], 2, lower_is_better=True, **of),
    f'{names[1]}{suffix}': Metric(distances.kernel, heads[1], 5, lower_is_better=True, **of),
    f'precision{suffix}': Metric(distances.precision, f'Precision{tail}', 3, **of),
    f'recall{suffix}': Metric(distances.recall, f'Recall{tail}', 3, **of),
    f'density{suffix}': Metric(distances.density, f'Density{tail}', 3, **of),
    f'coverage{suffix}': Metric(distances.coverage, f'Coverage{tail}', 3, **of),
  }


BANDS: dict[str, Any] = {'of': 'texture.bands', 'whole_set': True, 'ideal': 1.0}
METRICS = {
  'psnr': Metric(psnr, 'PSNR', 2, unit='dB'),
  'ssim': Metric(ssim, 'SSIM', 4),
  'ms_ssim': Metric(ms_ssim, 'MS-SSIM', 4),
  'l1': Metric(l1, 'L1', 4, lower_is_better=True),
  'swd': Metric(texture.sliced_wasserstein, 'SWD', 1, lower_is_better=True, of='texture.patches', whole_set=True),
  'energy_1': Metric(texture.energy_1, 'Energy 1', 2, **BANDS),  # by band, the finest first
  'energy_2': Metric(texture.energy_2, 'Energy 2', 2, **BANDS),
  'energy_3': Metric(texture.energy_3, 'Energy 3', 2, **BANDS),
  'grid': Metric(texture.grid, 'Grid', 2, lower_is_better=True, of='texture.spectrum', whole_set=True),
  'accuracy': Metric(labels.accuracy, 'Pixel accuracy', 4, of='labels.classes'),
  'mean_iou': Metric(labels.mean_iou, 'Mean IoU', 4, of='labels.classes', whole_set=True),
  'lpips_lite0': Metric(lpips, 'LPIPS-Lite0', 4, lower_is_better=True, of='lite0.stages'),
  **of_net('lite0', '_lite0', ('FD-Lite0', 'KD-Lite0')),
  'lpips_alex': Metric(lpips, 'LPIPS (AlexNet)', 4, lower_is_better=True, of='alex.stages'),
  'lpips_vgg': Metric(lpips, 'LPIPS (VGG16)', 4, lower_is_better=True, of='vgg16.stages'),
  **of_net('inception', '', ('FID', 'KID')),
}


def entry(name: str) -> Metric:
  """How a score is shown, also one that has no entry here, like an older run's."""
  return METRICS.get(name, Metric(None, name.upper(), 3))


def ordered(names: Iterable[str]) -> list[str]:
  """Scores in the order of METRICS, others after them."""
  order = list(METRICS)
  return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def without_weights(labels: bool = False) -> tuple[str, ...]:
  """The metrics that need no net's weights; those of label images where `labels` are known."""
  nets = ('', 'texture', 'labels') if labels else ('', 'texture')
  return tuple(name for name, metric in METRICS.items() if metric.function and metric.of.partition('.')[0] in nets)
