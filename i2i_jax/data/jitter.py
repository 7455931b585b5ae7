"""Colour jitter: training images in other light, a pair's two in the same.

For pairs that are photographs both, or a photograph and what was made of it (config.data.degrade); not where the
colours of one side say something that those of the other do not, as in day to night, or where they name things, as in
maps. Ranges: Chen et al., A Simple Framework for Contrastive Learning, ICML 2020, whose strength is
config.data.jitter. Formulas: torchvision.transforms.ColorJitter's.
"""

from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

from i2i_jax.data import images
from i2i_jax.errors import BadInput

MOST, MOST_HUE = 0.8, 0.2  # at strength 1


def check(config_data: ConfigDict) -> None:
  """Raises BadInput where config.data.jitter is no strength, or these images have no such colours."""
  strength = config_data.get('jitter', 0.0)
  if strength > 1:
    raise BadInput(f'config.data.jitter = {strength} is a strength, from 0 (none) to 1')
  if not strength:
    return
  for name in ('channels_a', 'channels_b'):
    if config_data[name] not in (1, 3):
      raise BadInput(
        f'config.data.jitter: config.data.{name} = {config_data[name]}, and colours have 3, grays 1; set it to 0'
      )
  if 32 in (config_data.depth_a, config_data.depth_b):
    raise BadInput('config.data.jitter: images of depth 32 have no colours; set it to 0')
  if config_data.get('labels'):
    raise BadInput('config.data.jitter: with config.data.labels colours are names; set it to 0')


def draw(strength: float, rng: np.random.Generator) -> Callable:
  """A function of an image, unsigned integers [H, W, C], to one of other brightness, contrast, saturation and hue.

  What is drawn, and in which order they come, is the same for all images that it is given. A gray one has neither
  saturation nor hue. Each result is clipped, and rounded at the end.
  """
  if not strength:
    return lambda image: image
  numbers = [1 + strength * number for number in rng.uniform(-MOST, MOST, 3)]
  numbers.append(strength * rng.uniform(-MOST_HUE, MOST_HUE))
  operations = list(zip((brightness, contrast, saturation, hue), numbers, strict=True))
  steps = [operations[i] for i in rng.permutation(4)]

  def apply(image):
    top = np.iinfo(image.dtype).max
    x = image.astype(np.float32) / top
    for step, number in steps:
      if x.shape[-1] == 3 or step in (brightness, contrast):
        x = np.clip(step(x, np.float32(number)), 0, 1)
    return np.rint(x * top).astype(image.dtype)

  return apply


def brightness(x: np.ndarray, factor: float) -> np.ndarray:
  """x [H, W, C] in [0, 1], between black and itself, or beyond."""
  return factor * x


def contrast(x: np.ndarray, factor: float) -> np.ndarray:
  """Between the mean of its grays and itself, or beyond."""
  return factor * x + (1 - factor) * images.recolour(x, 1).mean()


def saturation(x: np.ndarray, factor: float) -> np.ndarray:
  """Between its grays and itself, or beyond."""
  return factor * x + (1 - factor) * images.recolour(x, 1)


def hue(x: np.ndarray, turn: float) -> np.ndarray:
  """Its hues, in the cone of hue, saturation and value, turned by a share of the full circle."""
  value, chroma = x.max(-1, keepdims=True), np.ptp(x, axis=-1, keepdims=True)
  red, green, blue = x[..., :1], x[..., 1:2], x[..., 2:]
  safe = np.where(chroma > 0, chroma, 1)
  sixth = np.select(
    [value == red, value == green], [(green - blue) / safe, 2 + (blue - red) / safe], 4 + (red - green) / safe
  )
  at = (sixth + 6 * turn + np.array([5, 3, 1], np.float32)) % 6
  return value - chroma * np.clip(np.minimum(at, 4 - at), 0, 1)
