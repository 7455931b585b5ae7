"""Pairs from pictures alone: the input is its target made worse, and a net learns the way back.

`config.data.degrade` names what is done, in order: 'superres(4)', or 'gray; noise(25)'. A function here with a number
that may be given is an operation: uint8 [H, W, C] in and out, of the same shape, with what it draws taken from `rng`.
"""

import io
from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict
from PIL import Image, ImageFilter

from i2i_jax.data import images
from i2i_jax.errors import BadInput, choice

EXAMPLE = "'superres(4)' or 'gray; noise(25)'"


def superres(image: np.ndarray, rng: np.random.Generator, factor: float = 4) -> np.ndarray:
  """Reduced by `factor`, at least 1, and brought back, both bicubic: copying it is what bicubic enlarging gives."""
  height, width = image.shape[:2]
  small = (max(1, round(width / factor)), max(1, round(height / factor)))
  how = Image.Resampling.BICUBIC
  return each_plane(image, lambda plane: plane.resize(small, how).resize((width, height), how))


def gray(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """The luma of ITU-R 601 in each channel."""
  if image.shape[-1] != 3:
    raise BadInput(f"config.data.degrade: 'gray' takes pictures of 3 channels, not {image.shape[-1]}")
  return images.recolour(images.recolour(image, 1), 3)


def noise(image: np.ndarray, rng: np.random.Generator, deviation: float = 25) -> np.ndarray:
  """Gaussian noise, its deviation of 255."""
  return np.rint(np.clip(image + rng.normal(0, deviation, image.shape), 0, 255)).astype(np.uint8)


def jpeg(image: np.ndarray, rng: np.random.Generator, quality: float = 10) -> np.ndarray:
  """Through a JPEG file of a quality from 1 to 95."""

  def through(plane: Image.Image) -> Image.Image:
    file = io.BytesIO()
    plane.save(file, 'JPEG', quality=round(quality))
    return Image.open(file)

  return each_plane(image, through)


def blur(image: np.ndarray, rng: np.random.Generator, radius: float = 2) -> np.ndarray:
  """A Gaussian blur, its deviation in px."""
  return each_plane(image, lambda plane: plane.filter(ImageFilter.GaussianBlur(radius)))


def inpaint(image: np.ndarray, rng: np.random.Generator, share: float = 0.25) -> np.ndarray:
  """A gray hole of the picture's shape and a share of its area, somewhere."""
  sides = [max(1, min(side, round(side * share**0.5))) for side in image.shape[:2]]
  top, left = (int(rng.integers(side - hole + 1)) for side, hole in zip(image.shape[:2], sides, strict=True))
  image = image.copy()
  image[top : top + sides[0], left : left + sides[1]] = 128
  return image


OPERATIONS = {f.__name__: f for f in (superres, gray, noise, jpeg, blur, inpaint)}
# The number that an operation takes: its name, and its range with both ends.
NUMBERS = {
  'superres': ('factor', 1, 64),
  'noise': ('deviation', 0, 255),
  'jpeg': ('quality', 1, 95),
  'blur': ('radius', 0, 100),
  'inpaint': ('share', 0, 1),
}


def of(config_data: ConfigDict) -> Callable | None:
  """What config.data.degrade says, for these data; None where it says nothing.

  Raises:
    BadInput: as `parse`; or there are no pairs, or input and target have not as many channels, or more than 8 bits.
  """
  apply = parse(config_data.get('degrade', ''))
  if apply:
    if not config_data.paired:
      raise BadInput('config.data.degrade makes pairs, for a method that learns from pairs, like pix2pix')
    if config_data.get('wrong_pairs'):
      raise BadInput('config.data.wrong_pairs: with degrade an input is made of its own target; set it to 0')
    if config_data.channels_a != config_data.channels_b:
      raise BadInput(
        f"config.data.channels_a = {config_data.channels_a}: with config.data.degrade an input has its target's "
        f'channels, {config_data.channels_b}'
      )
    if (config_data.depth_a, config_data.depth_b) != (8, 8):
      raise BadInput('config.data.degrade works on 8 bits: leave config.data.depth_a and depth_b at 8')
  return apply


def parse(spec: str) -> Callable | None:
  """A function (uint8 [H, W, C], rng) -> the degraded picture; None for an empty spec.

  Raises:
    BadInput: an unknown operation (with the nearest name), a number that it does not take.
  """
  steps = [step(part.strip()) for part in spec.split(';') if part.strip()]

  def apply(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    for function, numbers in steps:
      image = function(image, rng, *numbers)
    return image

  return apply if steps else None


def step(part: str) -> tuple[Callable, list[float]]:
  """'noise(25)' as (noise, [25])."""
  name, bracket, rest = part.partition('(')
  name = choice('config.data.degrade', name.strip(), OPERATIONS)
  if not bracket:
    return OPERATIONS[name], []
  if name not in NUMBERS:
    raise BadInput(f'config.data.degrade: {part!r}: {name} takes no number')
  inside, closing, after = rest.partition(')')
  try:
    number = float(inside)
  except ValueError:
    number = None
  if number is None or not closing or after:
    raise BadInput(f'config.data.degrade: {part!r}: {name} takes one number, like {EXAMPLE}')
  what, low, high = NUMBERS[name]
  if not low <= number <= high:
    raise BadInput(f'config.data.degrade: {part!r}: {what} must be from {low} to {high}')
  return OPERATIONS[name], [number]


def each_plane(image: np.ndarray, function: Callable[[Image.Image], Image.Image]) -> np.ndarray:
  """A function of Pillow's images on uint8 [H, W, C], any C: RGB as a whole, else channel by channel."""
  if image.shape[2] == 3:
    return np.asarray(function(Image.fromarray(image)).convert('RGB'))
  return np.stack([np.asarray(function(Image.fromarray(image[..., c]))) for c in range(image.shape[2])], axis=-1)
