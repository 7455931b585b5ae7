"""Detail, without a net: patches and energies of Laplacian pyramids.

Burt and Adelson, The Laplacian Pyramid as a Compact Image Code, 1983.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from i2i_jax.losses.multiscale import laplacian_pyramid

BANDS = 3  # of wavelengths to about 6 px, 12 px, 24 px
PATCHES, SIDE = 128, 7  # of each image and level, and their size in px
SMALLEST = 16  # px, of the last level that patches are taken from
DIRECTIONS = 512
MOST = 1 << 15  # patches of a level that are compared, evenly spread over the set's


def bands(weights: None, images: jax.Array) -> jax.Array:
  """Energy of each band of the pyramid: images [B, H, W, C] to [B, 3], the finest first."""
  return jnp.stack([jnp.square(band).mean((1, 2, 3)) for band in pyramid(images, BANDS + 1)[:-1]], 1)


def pyramid(images: jax.Array, levels: int) -> list[jax.Array]:
  """A Laplacian pyramid; images too small for it, or not a multiple of its last level, are mirrored at their ends."""
  multiple = 2 ** (levels - 1)
  pads = [max(-(-n // multiple), 2) * multiple - n for n in images.shape[1:3]]
  return laplacian_pyramid(jnp.pad(images, ((0, 0), *((0, p) for p in pads), (0, 0)), 'symmetric'), levels)


def energy(band: int, fake: np.ndarray, real: np.ndarray) -> float:
  """A band's energy in the outputs by that in the targets: 1 is right, less is blur, more is noise."""
  return float(fake[:, band].mean(dtype=np.float64) / max(real[:, band].mean(dtype=np.float64), 1e-12))


energy_1, energy_2, energy_3 = (functools.partial(energy, band) for band in range(BANDS))


def spectrum(weights: None, images: jax.Array) -> jax.Array:
  """Power at each frequency under a Hann window, over all channels: [B, H, W, C] to [B, H, W], zero first."""
  height, width = images.shape[1:3]
  window = jnp.hanning(height + 1)[:-1, None] * jnp.hanning(width + 1)[None, :-1]
  centred = (images - images.mean((1, 2), keepdims=True)) * window[None, ..., None]
  return jnp.square(jnp.abs(jnp.fft.fft2(centred, axes=(1, 2)))).sum(3)


def grid(fake: np.ndarray, real: np.ndarray) -> float:
  """The strongest line that upsampling leaves: power at its frequencies by that around them, by the targets' same.

  A net that doubles its maps twice repeats itself every 2 and 4 px: at multiples of a quarter of the sampling rate,
  each way. Up to about 1 there is no line beyond the targets'. `fake` and `real` are `spectrum` of all images. Odena
  et al., Deconvolution and Checkerboard Artifacts, Distill 2016.
  """
  lines = []
  for power in (x.mean(0, dtype=np.float64) for x in (fake, real)):
    quarters = [range(0, n, max(n // 4, 1)) for n in power.shape]
    near = [[line(power, u, v) for v in quarters[1] if u or v] for u in quarters[0]]
    lines.append(np.concatenate(near))
  return float(np.max(lines[0] / lines[1]))


def line(power: np.ndarray, u: int, v: int) -> float:
  """Power at a frequency by the median of that 2 to 4 steps away, which the window does not mix with it."""
  steps = np.arange(-4, 5)
  rows, columns = np.meshgrid(steps, steps, indexing='ij')
  around = np.maximum(abs(rows), abs(columns)) >= 2
  at = power[(u + rows) % power.shape[0], (v + columns) % power.shape[1]]
  return float(at[4, 4] / max(np.median(at[around]), 1e-12))


def patches(weights: None, images: jax.Array) -> jax.Array:
  """Patches of 7x7 px from each level of the pyramid, at the same places in each image.

  Images [B, H, W, C] to [B, levels, 128, 49, C]; the levels are the image's size, half of it, ..., 16 px.
  """
  levels = max(1, (min(images.shape[1:3]) // SMALLEST).bit_length())
  rng, found = np.random.default_rng(0), []
  for level in pyramid(images, levels):
    height, width = level.shape[1:3]
    rows, columns = (rng.integers(0, n - SIDE + 1, (PATCHES, 1, 1)) for n in (height, width))
    inside = np.arange(SIDE)
    part = level[:, rows + inside[:, None], columns + inside]
    found.append(part.reshape(len(images), PATCHES, SIDE * SIDE, images.shape[3]))
  return jnp.stack(found, 1)


def sliced_wasserstein(fake: np.ndarray, real: np.ndarray) -> float:
  """Distance of the distributions of patches, averaged over levels and random directions, times 1000.

  Karras et al., Progressive Growing of GANs, ICLR 2018, appendix; sliced_wasserstein.py of its code. There each set
  is normalised by its own channels' means and deviations, so that a shift of colours and a loss of contrast are not
  seen; here both by the targets'. `fake` and `real` are `patches` of all images.
  """
  channels, rng, distances = fake.shape[-1], np.random.default_rng(0), []
  for level in range(fake.shape[1]):
    mean, deviation = (f(real[:, level], axis=(0, 1, 2), dtype=np.float64) for f in (np.mean, np.std))
    directions = rng.normal(size=(SIDE * SIDE * channels, DIRECTIONS))
    directions = (directions / np.linalg.norm(directions, axis=0)).astype(np.float32)
    curves = []
    for x in (fake, real):
      rows = spread(x[:, level].reshape(-1, *x.shape[-2:]))
      rows = ((rows - mean) / np.maximum(deviation, 1e-8)).astype(np.float32).reshape(len(rows), -1)
      curves.append(np.sort((rows @ directions).T.copy()))
    distances.append(np.abs(np.subtract(*alike(*curves))).mean())
  return float(1000 * np.mean(distances))


def spread(rows: np.ndarray) -> np.ndarray:
  return rows if len(rows) <= MOST else rows[np.linspace(0, len(rows) - 1, MOST).astype(int)]


def alike(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Sorted values [K, N] and [K, M], both at as many quantiles."""
  count = min(a.shape[1], b.shape[1])

  def at(x: np.ndarray) -> np.ndarray:
    places = (np.arange(count) + 0.5) / count * x.shape[1] - 0.5
    if x.shape[1] == count:
      return x
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, x.shape[1] - 1)
    return x[:, low] + (places - low).astype(np.float32) * (x[:, high] - x[:, low])

  return at(a), at(b)
