"""Single images: files outside, [H, W, C] of uint8, uint16 or float32 inside, floats in [-1, 1] where nets see them.

`Kind` is what a config asks for; formats.py knows the files.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from i2i_jax.data import formats, strangers
from i2i_jax.data.formats import FORMATS
from i2i_jax.data.formats import size as size  # a name of this module too
from i2i_jax.errors import BadInput
from i2i_jax.runtime import files

IDS = 31  # bits of ids of labels, which are int32 and never below zero
# By depth.
DTYPES = {8: np.dtype(np.uint8), 16: np.dtype(np.uint16), IDS: np.dtype(np.int32), 32: np.dtype(np.float32)}
SPAN = (0.0, 1.0)
SMALL = 64  # px, at least, of the shorter side of what `reduced` gives
GAP = 2  # px between the images of a grid


class Kind(NamedTuple):
  """What the images of a side are, as config.data says."""

  side: str  # a or b
  channels: int
  depth: int  # bits of a value: 8 and 16 are whole numbers, 32 are floats
  span: tuple[float, float]  # the floats that become -1 and 1
  clip: bool  # whether floats outside of it become its ends; else they are refused

  @property
  def ending(self) -> str:
    """Of files that hold such images: PNG where that can, else TIFF."""
    return '.png' if self.depth != 32 and self.channels in (1, 3) else '.tif'


def kind(config_data: ConfigDict, side: str) -> Kind:
  """Raises BadInput where the fields of a side make no sense."""
  channels, depth, span = (config_data[f'{name}_{side}'] for name in ('channels', 'depth', 'range'))
  if side == 'a' and config_data.onehot:
    return Kind(side, 1 + bool(config_data.edges), IDS, SPAN, False)
  if channels < 1:
    raise BadInput(f'config.data.channels_{side} = {channels} must be at least 1')
  if depth not in DTYPES or depth == IDS:
    raise BadInput(f'config.data.depth_{side} = {depth} must be 8, 16, or 32 (floats)')
  if len(span) != 2 or not span[0] < span[1]:
    raise BadInput(f'config.data.range_{side} = {tuple(span)} must be (low, high), the values that become -1 and 1')
  return Kind(side, channels, depth, (float(span[0]), float(span[1])), config_data.clip)


def kinds(config_data: ConfigDict) -> dict[str, Kind]:
  """By side."""
  return {side: kind(config_data, side) for side in 'ab'}


def list_images(folder: Path) -> list[Path]:
  """The image files directly in `folder`, by name; hidden files are passed over."""
  return sorted(p for p in folder.iterdir() if p.suffix.lower() in FORMATS and not p.name.startswith('.'))


def read(path: Path, channels: int | None = None, depth: int = 8, data: bytes | None = None) -> np.ndarray:
  """Reads an image file as [H, W, C]: uint8, uint16 or float32, for a depth of 8, 16 or 32.

  8 and 16 bits are scaled to one another; at 32 values stay the numbers that the file holds. EXIF rotation is
  applied, and transparency composited on white, unless it is one of the `channels` that are asked for.

  Args:
    channels: how many it must have; gray and RGB, 1 and 3, are turned into one another. None keeps what there is.
    data: the file's bytes, where it lies in another file; `path` then only names it.

  Raises:
    BadInput: naming the file and the reason.
  """
  return adapted(formats.held(path, data), path, channels, depth)


def adapted(held: formats.Held, path: Path, channels: int | None, depth: int) -> np.ndarray:
  """What a file holds, or a part of it, as `read` gives it."""
  values = held.values
  if held.alpha and values.shape[-1] != channels:
    values = on_white(values, path)
  have = values.shape[-1]
  if channels and have != channels and {have, channels} != {1, 3}:
    swapped = '; an image is [H, W, C], and this may be [C, H, W]' if values.shape[0] == channels else ''
    raise BadInput(f'{path}: {have} channels, where config.data.channels_a or _b wants {channels}{swapped}')
  return at_depth(recolour(values, channels or have), path, depth)


def on_white(values: np.ndarray, path: Path) -> np.ndarray:
  """Colours under the transparency that is their last channel, as Pillow composites."""
  if values.dtype.kind == 'f':
    raise BadInput(f'{path}: floats with transparency, which have no white to lay it on; save it without')
  white, out = int(np.iinfo(values.dtype).max), np.empty((*values.shape[:2], values.shape[2] - 1), values.dtype)

  def lay(part):
    colours, alpha = part[..., :-1].astype(np.uint32), part[..., -1:].astype(np.uint32)
    return (colours * alpha + white * (white - alpha) + white // 2) // white

  return by_strips(lay, values, out)


def by_strips(change: Callable[[np.ndarray], np.ndarray], image: np.ndarray, out: np.ndarray) -> np.ndarray:
  """Fills `out` with `change` of an image, some rows at a time: what is computed in between may be far larger."""

  def fill(rows):
    out[rows] = change(image[rows])

  strangers.in_strips(image.size, len(image), fill)
  return out


def recolour(image: np.ndarray, channels: int) -> np.ndarray:
  """RGB to gray (ITU-R 601, as Pillow) where one channel is wanted, and gray to RGB where three are."""
  if image.shape[-1] == channels:
    return image
  if channels == 3:
    return np.repeat(image, 3, axis=-1)
  if image.dtype == np.uint8:
    return np.asarray(Image.fromarray(image).convert('L'))[..., None]
  if image.dtype.kind == 'f':
    return (image @ np.array([0.299, 0.587, 0.114], image.dtype))[..., None]
  weights, gray = np.array([19595, 38470, 7471]), np.empty((*image.shape[:2], 1), image.dtype)
  return by_strips(lambda part: ((part @ weights + 0x8000) >> 16)[..., None], image, gray)


def at_depth(values: np.ndarray, path: Path, depth: int) -> np.ndarray:
  """Values of a file as those of a depth. Raises BadInput where that would change them, or they are not finite."""
  if depth == 32:
    strangers.check_size(path, values.shape[1], values.shape[0], 4 * values.shape[2])
    with np.errstate(over='ignore'):
      floats = values.astype(np.float32)
    if not np.isfinite(floats).all():
      raise BadInput(f'{path}: holds values that are not finite (NaN, or infinite in 32 bits)')
    if values.dtype.kind != 'f' and (floats != values).any():
      raise BadInput(f'{path}: holds whole numbers of {values.dtype} that floats of 32 bits do not')
    return floats
  if values.dtype not in (np.uint8, np.uint16):
    what = 'floating-point values' if values.dtype.kind == 'f' else f'whole numbers of {values.dtype}'
    raise BadInput(
      f'{path}: {what} have no fixed range: set config.data.depth_a or _b to 32 and range_a or _b to theirs, or save '
      'it with 8 or 16 bits'
    )
  if values.dtype == DTYPES[depth]:
    return values
  out = np.empty(values.shape, np.uint16 if depth == 16 else np.uint8)
  if depth == 16:
    return by_strips(lambda part: part.astype(np.uint16) * 257, values, out)
  return by_strips(lambda part: (part.astype(np.uint32) + 128) // 257, values, out)


def check_form(image: np.ndarray, kind: Kind, name: str) -> None:
  """Raises BadInput, with the image's name, unless it has the channels and the type of its kind."""
  if image.shape[-1] != kind.channels:
    raise BadInput(f'config.data.channels_{kind.side} = {kind.channels}, but {name} has {image.shape[-1]} channels')
  if image.dtype != DTYPES[kind.depth]:
    raise BadInput(f'config.data.depth_{kind.side} = {kind.depth}: {name} is {image.dtype}, not {DTYPES[kind.depth]}')


def within(image: np.ndarray, kind: Kind, name: str) -> np.ndarray:
  """The image, its floats clipped to their range where the config says so.

  Raises:
    BadInput: with its name: another form than the kind's, floats outside of their range, or not finite.
  """
  check_form(image, kind, name)
  if kind.depth != 32:
    return image
  low, high = image.min(), image.max()
  if kind.span[0] <= low and high <= kind.span[1]:
    return image
  if not math.isfinite(low) or not math.isfinite(high):
    raise BadInput(f'{name}: holds values that are not finite')
  if kind.clip:
    return np.clip(image, *kind.span)
  raise BadInput(
    f'{name}: values from {low:g} to {high:g}, outside of config.data.range_{kind.side} = {kind.span}; widen it, or '
    'set config.data.clip=True'
  )


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """[H, W, C] of any C and depth to [*size, C]: bicubic with antialiasing (Pillow's), as the reference.

  Whole numbers stay within their range; floats may overshoot theirs. Ids are never mixed: by Pillow's NEAREST.
  """
  if image.shape[:2] == tuple(size):
    return image
  height, width = size
  how = Image.Resampling.NEAREST if image.dtype == np.int32 else Image.Resampling.BICUBIC

  def one(plane: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(plane).resize((width, height), how))

  if image.dtype == np.uint8:
    return one(image) if image.shape[2] == 3 else np.stack([one(image[..., c]) for c in range(image.shape[2])], -1)
  if image.dtype == np.int32:
    return np.stack([one(image[..., c]) for c in range(image.shape[2])], -1)
  resized = np.stack([one(image[..., c].astype(np.float32)) for c in range(image.shape[2])], -1)
  return np.rint(np.clip(resized, 0, 65535)).astype(np.uint16) if image.dtype == np.uint16 else resized


def cover(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """[H, W, C] as small as it covers `size`, its shape kept."""
  scale = max(new / old for new, old in zip(size, image.shape[:2], strict=True))
  return resize(image, tuple(max(new, round(scale * old)) for new, old in zip(size, image.shape[:2], strict=True)))


def fit(image: np.ndarray, size: tuple[int, int], how: str) -> np.ndarray:
  """[H, W, C] to [*size, C]: 'stretch' resizes whatever its shape, 'cover' keeps it and takes the middle."""
  if how == 'stretch':
    return resize(image, size)
  image = cover(image, size)
  top, left = ((have - want) // 2 for have, want in zip(image.shape[:2], size, strict=True))
  return image[top : top + size[0], left : left + size[1]]


def reduced(pictures: np.ndarray) -> np.ndarray:
  """Pictures [N, H, W, C] by a whole factor, so that the shorter side has 64 to 127 px; smaller ones as they are."""
  return pooled(pictures, max(1, min(pictures.shape[1:3]) // SMALL))


def pooled(x: np.ndarray, size: int) -> np.ndarray:
  """Means of squares of `size` px; what is over at the ends is left out."""
  count, height, width, channels = x.shape
  height, width = height // size, width // size
  x = x[:, : height * size, : width * size].reshape(count, height, size, width, size, channels)
  return x.mean((2, 4))


def to_float(image: np.ndarray, span: tuple[float, float] = SPAN) -> np.ndarray:
  """uint8, uint16, or floats of a range `span`, to float32 in [-1, 1]."""
  if image.dtype.kind == 'f':
    low, high = span
    return np.clip((image.astype(np.float64) - low) * (2 / (high - low)) - 1, -1, 1).astype(np.float32)
  return image.astype(np.float32) / (32767.5 if image.dtype == np.uint16 else 127.5) - 1


def from_float(image: Any, depth: int, span: tuple[float, float] = SPAN) -> np.ndarray:
  """Floats in [-1, 1] to what `to_float` makes them of; clipped first, since a cast wraps around."""
  if depth == 8:
    return np.rint(np.clip((np.asarray(image) + 1) * 127.5, 0, 255)).astype(np.uint8)
  shares = (np.clip(np.asarray(image, np.float64), -1, 1) + 1) / 2
  if depth == 16:
    return np.rint(shares * 65535).astype(np.uint16)
  low, high = span
  return (low + shares * (high - low)).astype(np.float32)


def to_uint8(image: Any) -> np.ndarray:
  """Floats in [-1, 1] to uint8: to be drawn, whatever the depth of their files."""
  return from_float(image, 8)


def drawn(image: Any) -> np.ndarray:
  """Floats [H, W, C] in [-1, 1] as a picture, uint8 [H, W, 3 or 1]."""
  return visible(to_uint8(image))


def visible(image: np.ndarray) -> np.ndarray:
  """The channels of [..., C] that are looked at: the first three, or the first."""
  return image[..., : 3 if image.shape[-1] >= 3 else 1]


def write(path: Path, image: np.ndarray) -> None:
  """Writes [H, W, C] in its own depth, by the ending: PNG of 8 or 16 bits, TIFF (.tif), or a NumPy array (.npy)."""
  if path.suffix == '.png':
    return write_png(path, image)
  files.replace(path, formats.as_tiff(image) if path.suffix == '.tif' else formats.as_npy(image))


def write_png(path: Path, image: np.ndarray) -> None:
  """Writes uint8 or uint16 [H, W, C], C = 1 or 3."""
  if image.shape[-1] not in (1, 3):
    raise BadInput(f'{path}: an image of {image.shape[-1]} channels cannot be written as PNG (1 or 3 can)')
  files.replace(path, formats.as_png(image))


def columns(picture: np.ndarray, count: int, gap: int = GAP) -> list[np.ndarray]:
  """The columns of a picture that `grid` laid out; the picture itself where it has not so many."""
  width, rest = divmod(picture.shape[1] + gap, count)
  if rest:
    return [picture]
  return [picture[:, i * width : (i + 1) * width - gap] for i in range(count)]


def grid(rows: list[list[np.ndarray]], gap: int = GAP) -> np.ndarray:
  """Lays out uint8 images of equal height and width in rows, gray ones as RGB, on white."""

  def line(parts, axis):
    space = list(parts[0].shape)
    space[axis] = gap
    spaced = [x for part in parts for x in (part, np.full(space, 255, np.uint8))]
    return np.concatenate(spaced[:-1], axis)

  return line([line([recolour(visible(x), 3) for x in row], 1) for row in rows], 0)
