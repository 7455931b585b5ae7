"""Is a picture like those that a net learnt from? Of others it says nothing that can be trusted.

Two distances from the training inputs are multiplied. That of the whole picture: its colours, contrast and detail,
and how usual its colours and their neighbours are, as a Mahalanobis distance. That of its parts: the distance of each
patch to the nearest of the training patches, on average; a picture may be made of known parts in a new way. What a
picture may reach is measured on training inputs left out in turn, those that belong together at a time.
"""

import io
import math
import sys
import zipfile
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from i2i_jax.data.images import pooled, reduced
from i2i_jax.runtime import files

FEWEST = 50  # training inputs that say what is usual
MOST = 300  # of them, evenly spread, are looked at
FOLDS = 4
QUANTILE = 0.995  # of the training inputs left out, which set the limit
WEIGHT = 1.5  # of the parts against the whole, as an exponent; chosen on the Earth's maps of elevation
BINS = (16, 8, 8)  # of colours along their principal components
PRIOR = 0.02  # of a pair of neighbouring colours never seen
LARGEST = 128  # px of the shorter side, doubled, at which images are looked at
LEVELS = 4  # of detail, each of half the size
PATCH, STRIDE = 16, 8  # px of a picture of 64 to 127 px
MOST_BYTES = 1 << 28  # of a file of these
BANK = 4000  # patches that are remembered
SHRINK = 0.05  # of covariances towards independence


class Known(NamedTuple):
  """What `learn` found; arrays alone, to be stored."""

  centre: np.ndarray  # [C] of colours
  axes: np.ndarray  # [C, K] their principal components
  edges: np.ndarray  # [K, 15] of bins along these; unused ones are infinite
  colours: np.ndarray  # [S] surprise, minus the log of the share, of each bin
  right: np.ndarray  # [S, S] of a bin's right neighbour
  down: np.ndarray  # [S, S]
  whole: np.ndarray  # [F + 1, F] the features' mean, and what turns them into independent deviates
  parts: np.ndarray  # [G + 1, G] the same of patches
  bank: np.ndarray  # [4000, G] patches as deviates
  limit: np.ndarray  # [] distances beyond are unlike


def seen(images: np.ndarray) -> np.ndarray:
  """Images [N, H, W, C], reduced by a whole factor where the shorter side has 256 px or more."""
  return pooled(images, max(1, min(images.shape[1:3]) // LARGEST))


def learn(images: np.ndarray, groups: list[str] | None = None, seed: int = 0) -> Known | None:
  """Of training inputs [N, H, W, C] in [-1, 1], as `seen` gives them; None of fewer than 50.

  Args:
    groups: labels of those that belong together, like overlapping tiles: they are left out together.
  """
  count = len(images)
  if count < FEWEST:
    return None
  rng = np.random.default_rng(seed)
  labels = np.unique(groups if groups is not None else np.arange(count).astype(str), return_inverse=True)[1]
  fold = (rng.permutation(labels.max() + 1) % FOLDS)[labels]
  small, detail, patches = reduced(images), texture(images), described(reduced(images))
  features, parts = np.zeros((count, detail.shape[1] + SURPRISES)), np.zeros(count)
  for out in range(FOLDS):
    left, rest = fold == out, fold != out
    tables = learn_colours(small[rest], rng)
    features[left] = np.concatenate([detail[left], surprise(tables, small[left])], 1)
    white = whitening(patches[rest].reshape(-1, patches.shape[-1]))
    parts[left] = nearest(patches[left], white, remembered(patches[rest], white, rng))
  whole = np.zeros(count)
  for out in range(FOLDS):
    whole[fold == out] = length(features[fold == out], whitening(features[fold != out]))
  centre, axes, edges, colours, right, down = learn_colours(small, rng)
  white = whitening(patches.reshape(-1, patches.shape[-1]))
  limit = np.quantile(whole * parts**WEIGHT, QUANTILE)
  bank = remembered(patches, white, rng)
  return Known(centre, axes, edges, colours, right, down, whitening(features), white, bank, np.asarray(limit))


def scores(known: Known, images: np.ndarray) -> np.ndarray:
  """How unlike the training inputs images [N, H, W, C] in [-1, 1] are, [N]: above 1 they are."""
  images = seen(images)
  small = reduced(images)
  features = np.concatenate([texture(images), surprise(known[:6], small)], 1)
  return length(features, known.whole) * nearest(described(small), known.parts, known.bank) ** WEIGHT / known.limit


def save(file: Path, known: Known) -> None:
  content = io.BytesIO()
  np.savez_compressed(content, **known._asdict())
  files.replace(file, content.getvalue())


def load(file: Path) -> Known | None:
  """None where a run has none: it is older, learnt from few images, or the file is damaged, which is said."""
  if not file.exists():
    return None
  try:
    with zipfile.ZipFile(file) as archive:
      if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
        raise ValueError(f'it unpacks to more than {MOST_BYTES:,} bytes')
      for entry in archive.infolist():
        with archive.open(entry) as part:
          check_array(part, entry.file_size)
    with np.load(file, allow_pickle=False) as stored:
      return Known(**{name: stored[name] for name in Known._fields})
  except Exception as error:  # whatever a damaged file leads to
    print(
      f'warning: {file} is damaged ({error}), so what is unlike the training images is not told; delete it',
      file=sys.stderr,
    )
    return None


def check_array(part: IO[bytes], size: int) -> None:
  """Raises ValueError for an array that claims more numbers than there are bytes."""
  np.lib.format.read_magic(part)
  shape, _, dtype = np.lib.format.read_array_header_1_0(part)
  if math.prod(shape) * dtype.itemsize > size:
    raise ValueError(f'an array {list(shape)} of {dtype} has only {size:,} bytes')


# ------------------------------------------------------------------------------------------------- the whole picture
def texture(images: np.ndarray) -> np.ndarray:
  """Colours, contrast and detail of images [N, H, W, C]: [N, F]."""
  count, channels = len(images), images.shape[-1]
  mean, deviation, correlation = colour_statistics(images.reshape(count, -1, channels), 0.01)
  found = [mean, np.log(deviation), correlation]
  for _ in range(LEVELS):
    if min(images.shape[1:3]) < 4:
      break
    right, down = (np.abs(np.diff(images, axis=axis)).mean(-1) for axis in (2, 1))
    found += [np.log(steps.mean((1, 2)) + 1e-3)[:, None] for steps in (right, down)]
    steps = np.concatenate([right.reshape(count, -1), down.reshape(count, -1)], 1)
    found.append(np.log(steps.std(1) / (steps.mean(1) + 1e-3) + 0.01)[:, None])
    images = pooled(images, 2)
  return np.concatenate(found, 1)


def colour_statistics(pixels: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Means of pixels [N, P, C], deviations plus `least`, both [N, C], correlations of channels [N, C (C - 1) / 2]."""
  mean = pixels.mean(1)
  products = pixels.swapaxes(1, 2) @ pixels / pixels.shape[1] - mean[:, :, None] * mean[:, None]
  deviation = np.sqrt(np.maximum(np.einsum('nii->ni', products), 0)) + least
  i, j = np.triu_indices(pixels.shape[-1], 1)
  return mean, deviation, products[:, i, j] / (deviation[:, i] * deviation[:, j])


def learn_colours(images: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
  """The first six fields of `Known`, of images [N, H, W, C]."""
  pixels = images.reshape(-1, images.shape[-1])
  some = pixels[rng.permutation(len(pixels))[:200_000]]
  centre = some.mean(0)
  _, vectors = np.linalg.eigh(np.atleast_2d(np.cov(some, rowvar=False)))
  axes = vectors[:, ::-1][:, : len(BINS)]
  edges = np.full((axes.shape[1], max(BINS) - 1), np.inf)
  for k, places in enumerate(((some - centre) @ axes).T):
    low, high = np.quantile(places, [0.001, 0.999])
    edges[k, : BINS[k] - 1] = np.linspace(low, high, BINS[k] - 1)
  bins, size = binned(images, centre, axes, edges), int(np.prod(BINS[: axes.shape[1]]))
  counts = np.bincount(bins.ravel(), minlength=size)
  tables = [-np.log((counts + 0.5) / (counts.sum() + 0.5 * size))]
  for first, second in neighbours(bins):
    pairs = np.bincount((first * size + second).ravel(), minlength=size * size).reshape(size, size)
    tables.append(-np.log((pairs + PRIOR) / (pairs.sum(1, keepdims=True) + PRIOR * size)))
  return centre, axes, edges, *(table.astype(np.float32) for table in tables)


def binned(images: np.ndarray, centre: np.ndarray, axes: np.ndarray, edges: np.ndarray) -> np.ndarray:
  """The bin of each pixel's colour, [N, H, W]."""
  bins = np.zeros(images.shape[:-1], np.int64)
  places = (images - centre) @ axes
  for k in range(axes.shape[1]):
    bins = bins * BINS[k] + np.searchsorted(edges[k, : BINS[k] - 1], places[..., k])
  return bins


def neighbours(bins: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
  """Pixels and their neighbours, to the right and below."""
  return [(bins[:, :, :-1], bins[:, :, 1:]), (bins[:, :-1], bins[:, 1:])]


SURPRISES = 6


def surprise(tables: tuple, images: np.ndarray) -> np.ndarray:
  """How unusual the colours of images [N, H, W, C] are, their neighbours, and the worst row and column: [N, 6]."""
  centre, axes, edges, single, *pairs = tables
  bins = binned(images, centre, axes, edges)
  alone = single[bins].reshape(len(bins), -1)
  right, down = (table[first, second] for table, (first, second) in zip(pairs, neighbours(bins), strict=True))
  lines = [right.mean(1), down.mean(2)]
  means = [alone.mean(1), np.quantile(alone, 0.9, axis=1), right.mean((1, 2)), down.mean((1, 2))]
  return np.log(np.stack([*means, *(line.max(1) - np.median(line, 1) for line in lines)], 1) + 0.05)


# ------------------------------------------------------------------------------------------------------- its parts
def described(images: np.ndarray) -> np.ndarray:
  """Features of overlapping patches of images [N, H, W, C]: [N, P, G]."""
  side = min(PATCH, *(n // 2 * 2 for n in images.shape[1:3]))
  view = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(1, 2))[:, ::STRIDE, ::STRIDE]
  channels, count = images.shape[-1], view.shape[1] * view.shape[2]
  x = view.transpose(0, 1, 2, 4, 5, 3).reshape(-1, side, side, channels)
  mean, deviation, correlation = colour_statistics(x.reshape(len(x), -1, channels), 0.02)
  right, down = (np.abs(np.diff(x, axis=axis)).mean(-1) for axis in (2, 1))
  coarse = [np.abs(np.diff(pooled(x, 2), axis=axis)).mean(-1) for axis in (2, 1)]
  quarters = pooled(x, side // 2).reshape(len(x), -1) - np.tile(mean, (1, 4))
  lines = [line.max(1) - np.median(line, 1) for line in (right.mean(1), down.mean(2))]
  steps = [*(s.mean((1, 2)) for s in (right, down, *coarse)), right.std((1, 2)), down.std((1, 2)), *lines]
  found = [2 * mean, np.log(deviation), correlation, quarters, np.log(np.stack(steps, 1) + 0.01)]
  return np.concatenate(found, 1).reshape(len(images), count, -1)


def nearest(patches: np.ndarray, white: np.ndarray, bank: np.ndarray) -> np.ndarray:
  """The mean over patches [N, P, G] of the distance to the nearest that is remembered: [N]."""
  bank = bank.astype(np.float32)
  norms, found = np.square(bank).sum(1), []
  for part in patches:
    rows = deviates(part, white).astype(np.float32)
    squares = np.square(rows).sum(1)[:, None] + norms - 2 * rows @ bank.T
    found.append(np.sqrt(np.maximum(squares.min(1), 0)).mean())
  return np.array(found)


def remembered(patches: np.ndarray, white: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  rows = patches.reshape(-1, patches.shape[-1])
  return deviates(rows[rng.permutation(len(rows))[:BANK]], white).astype(np.float16)


# ------------------------------------------------------------------------------------------------------- distances
def whitening(rows: np.ndarray) -> np.ndarray:
  """Mean and matrix [F + 1, F] that make rows [N, F] uncorrelated deviates of size 1."""
  mean, deviation = rows.mean(0), rows.std(0) + 1e-6
  z = (rows - mean) / deviation
  covariance = (1 - SHRINK) * z.T @ z / len(z) + SHRINK * np.eye(z.shape[1])
  values, vectors = np.linalg.eigh(covariance)
  return np.concatenate([mean[None], vectors / np.sqrt(values) / deviation[:, None]])


def deviates(rows: np.ndarray, white: np.ndarray) -> np.ndarray:
  return (rows - white[0]) @ white[1:]


def length(rows: np.ndarray, white: np.ndarray) -> np.ndarray:
  """Of rows [N, F] as deviates, by the root of their number: about 1 for what is usual."""
  return np.sqrt(np.square(deviates(rows, white)).mean(1))
