"""What a GAN's health is read from: outputs for a few fixed images, in NumPy on the host.

Each reading is a plain ratio or share, so that one threshold does for all data; `signs` has what each means.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

NOISE = 0.05  # deviation of what is added to a translation before it is translated back; images are in [-1, 1]
EDGE = 0.98  # beyond it a value is as good as black or white


class Seen(NamedTuple):
  """One direction at one check: images [N, H, W, C] in [-1, 1], the first `known` of them of the training split."""

  source: np.ndarray
  target: np.ndarray
  fake: np.ndarray
  swapped: np.ndarray  # the output in each one's place for the next one's input, with the same dropout
  known: int
  paired: bool
  back: np.ndarray | None = None  # what the way back makes of `fake`
  back_noised: np.ndarray | None = None  # and of `fake` with noise


def look(
  predict: Callable, source: np.ndarray, target: np.ndarray, known: int, paired: bool, back: Callable | None
) -> Seen:
  """Translates what `readings` needs. `predict` and `back` take [N, H, W, C]; `back` is None without a way back."""
  fake, swapped = predict(source), predict(np.roll(source, -1, 0))
  if back is None:
    return Seen(source, target, fake, swapped, known, paired)
  noise = np.random.default_rng(0).normal(scale=NOISE, size=fake.shape).astype(fake.dtype)
  return Seen(source, target, fake, swapped, known, paired, back(fake), back(fake + noise))


def readings(seen: Seen) -> dict[str, float]:
  """All that can be read of a direction, by name; what needs pairs, a way back or equal channels is left out else."""
  source, target, fake = seen.source, seen.target, seen.fake
  truth = among(target)
  found = {
    'diversity': among(fake) / truth,
    'sensitivity': l1(seen.swapped, fake).mean() / max(l1(np.roll(target, -1, 0), target).mean(), 1e-6),
    'colour': colour_shift(fake, target),
    'swapped': colours_swapped(fake, target, seen.paired),
    'grid': grid(fake, target),
    'blocks': blocks(fake, target),
    'saturation': max(0.0, saturated(fake) - saturated(target)),
  }
  if source.shape == target.shape:
    apart = l1(source, target).mean() if seen.paired else across(source, target)
    found['change'] = l1(fake, source).mean() / max(apart, 1e-6)
  if seen.paired:
    errors, known = l1(fake, target), slice(0, seen.known)
    found['unseen'] = errors[seen.known :].mean() / max(errors[known].mean(), 1e-6)
    found['match'] = across(fake[known], target[known], others=True) / max(errors[known].mean(), 1e-6)
  if seen.back is not None and seen.back_noised is not None:
    found['hidden'] = l1(seen.back_noised, source).mean() / max(l1(seen.back, source).mean(), 1e-6)
  return {name: float(value) for name, value in found.items()}


def l1(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Of each image: [N]."""
  return np.abs(x - y).mean((1, 2, 3), dtype=np.float64)


def among(x: np.ndarray) -> float:
  """The mean L1 of two different images of x."""
  return max(across(x, x, others=True), 1e-6)


def across(x: np.ndarray, y: np.ndarray, others: bool = False) -> float:
  """The mean L1 of an image of x and one of y; with `others` of another place."""
  shifts = range(1 if others else 0, len(x))
  return float(np.mean([l1(x, np.roll(y, shift, 0)).mean() for shift in shifts]))


def colour_shift(fake: np.ndarray, target: np.ndarray) -> float:
  """How far the mean colour is from the targets', in the channel where it is farthest, by their pixels' deviation."""
  axes = (0, 1, 2)
  shift = fake.mean(axes, dtype=np.float64) - target.mean(axes, dtype=np.float64)
  return float(np.max(np.abs(shift) / np.maximum(target.std(axes, dtype=np.float64), 0.02)))


def colours_swapped(fake: np.ndarray, target: np.ndarray, paired: bool) -> float:
  """How far outputs are from the targets, by how far they are inverted or with their channels in another order.

  The nearest of these counts; above 1 the outputs are nearer when they are so changed. Without pairs, channels' means
  and deviations are compared, which say enough of inversion alone.
  """

  def distance(x):
    if paired:
      return l1(x, target).mean()
    means, deviations = (f(x, (0, 1, 2)) - f(target, (0, 1, 2)) for f in (np.mean, np.std))
    return (np.abs(means) + np.abs(deviations)).mean()

  channels = range(fake.shape[-1])
  orders = list(itertools.permutations(channels))[1:] if paired and len(channels) == 3 else []
  changed = [distance(-fake), *(distance(fake[..., list(order)]) for order in orders)]
  return float((distance(fake) + 0.02) / (min(changed) + 0.02))


def grid(fake: np.ndarray, target: np.ndarray) -> float:
  """The contrast of what repeats every 4 px beyond the targets', by the contrast of their pixels.

  It is left by transposed convolutions, above all: Odena et al., Deconvolution and Checkerboard Artifacts, Distill
  2016. The mean of an image's tiles of 4x4 px, each less its mean, holds it alone; what is seen averages out.
  """

  def repeated(x):
    tiles = x[:, : x.shape[1] // 4 * 4, : x.shape[2] // 4 * 4].astype(np.float64)
    tiles = tiles.reshape(len(x), x.shape[1] // 4, 4, x.shape[2] // 4, 4, x.shape[3])
    return np.square((tiles - tiles.mean((2, 4), keepdims=True)).mean((1, 3))).mean()

  return float(np.sqrt(max(0.0, repeated(fake) - repeated(target)) / max(target.var(dtype=np.float64), 1e-4)))


def blocks(fake: np.ndarray, target: np.ndarray) -> float:
  """How much less a pixel differs from the next within blocks of 2 or 4 than in targets: 1 is not at all."""

  def differences(x):
    """The mean difference from the next pixel at each of four places, along both axes, by their mean: [8]."""
    found = []
    for axis in (1, 2):
      of = np.abs(np.diff(x, axis=axis)).mean((0, 3, 3 - axis), dtype=np.float64)
      places = np.array([of[i::4].mean() for i in range(4)])
      found.append(places / max(places.mean(), 1e-9))
    return np.concatenate(found)

  return float(1 - np.min(differences(fake) / np.maximum(differences(target), 0.1)))


def saturated(x: np.ndarray) -> float:
  return float((np.abs(x) > EDGE).mean())


def of_discriminators(seen: dict[str, list[float]]) -> dict[str, float]:
  """Of what training logged of them at each step since the last look, by its names: {'disc/right_real_a': [...]}.

  'wins': how often both real and fake patches are told rightly, the rarer of both; 'guesses': the more frequent;
  'logits': the gap between those of real and fake patches; 'loud': how large they are; 'grad/NET': a gradient's norm.
  """
  found = {name: values[-1] for name, values in seen.items() if name.startswith('grad/')}
  for side in ('', '_a', '_b'):
    if f'disc/real{side}' not in seen:
      continue
    real, fake = (np.array(seen[f'disc/{which}{side}']) for which in ('real', 'fake'))
    found[f'logits{side}'] = float(np.mean(real - fake))
    found[f'loud{side}'] = float(np.mean(np.maximum(np.abs(real), np.abs(fake))))
    if f'disc/right_real{side}' in seen:  # wgan-gp has none
      right = [float(np.mean(seen[f'disc/right_{which}{side}'])) for which in ('real', 'fake')]
      found[f'wins{side}'], found[f'guesses{side}'] = min(right), max(right)
  return found
