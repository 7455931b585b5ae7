"""Reading, resizing and writing single images: files outside, uint8 [H, W, C] inside.

Pillow's `open(path).convert('RGB')` turns 16-bit gray white, ignores EXIF rotation, shows hidden colours under
transparency, opens pipes and decodes bombs; `read` does none of that.
"""

import contextlib
import io
import os
import stat
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from i2i_jax.errors import BadInput

FORMATS = {
  '.png': 'PNG',
  '.jpg': 'JPEG',
  '.jpeg': 'JPEG',
  '.bmp': 'BMP',
  '.tif': 'TIFF',
  '.tiff': 'TIFF',
  '.webp': 'WEBP',
}
MAX_PIXELS = 1 << 28
GAP = 2  # px between the images of a grid


def list_images(folder: Path) -> list[Path]:
  """The image files directly in `folder`, by name; hidden files are passed over."""
  return sorted(p for p in folder.iterdir() if p.suffix.lower() in FORMATS and not p.name.startswith('.'))


def read(path: Path, channels: int | None = None, data: bytes | None = None) -> np.ndarray:
  """Reads an image file as uint8 [H, W, C].

  16 bits are scaled to 8, EXIF rotation is applied, transparency is composited on white.

  Args:
    channels: 1 (gray) or 3 (RGB) to convert to; None keeps what the file has.
    data: the file's bytes, where it lies in another file; `path` then only names it.

  Raises:
    BadInput: naming the file and the reason.
  """
  with opened(path, data) as image:
    image.load()
    return to_array(ImageOps.exif_transpose(image), path, channels)


def size(path: Path, data: bytes | None = None) -> tuple[int, int]:
  """(width, height) as `read` will give it, from the header alone. Raises BadInput as `read` does."""
  with opened(path, data) as image:
    # Asked for its EXIF, Pillow decodes a whole PNG to see whether any comes after the pixels.
    exif = {} if image.format == 'PNG' and 'exif' not in image.info else image.getexif()
    turned = exif.get(0x0112, 1) in (5, 6, 7, 8)
    return image.size[::-1] if turned else image.size


@contextlib.contextmanager
def opened(path: Path, data: bytes | None = None) -> Iterator[Image.Image]:
  """An image file, or its bytes, whose header could be read; what goes wrong then is BadInput with its name."""
  try:
    if data is None and not stat.S_ISREG(os.stat(path).st_mode):
      raise BadInput(f'{path}: not a regular file')
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # Pillow warns of odd metadata; what can't be read raises
      with Image.open(path if data is None else io.BytesIO(data), formats=sorted(set(FORMATS.values()))) as image:
        if image.width * image.height > MAX_PIXELS:
          raise BadInput(f'{path}: {image.width}x{image.height} is more than {MAX_PIXELS:,} pixels')
        yield image
  except UnidentifiedImageError:
    raise BadInput(f'{path}: not an image in a known format ({", ".join(sorted(FORMATS))})') from None
  except BadInput:
    raise
  except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
    reason = getattr(error, 'strerror', None) or error
    raise BadInput(f'{path}: cannot be read as an image: {reason}') from None


def to_array(image: Image.Image, path: Path, channels: int | None) -> np.ndarray:
  if image.mode.startswith('I'):  # 16-bit gray, also as 32-bit integers
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
      raise BadInput(f'{path}: values from {values.min()} to {values.max()} are not 16-bit gray')
    image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
  elif image.mode == 'F':
    raise BadInput(f'{path}: floating-point images have no fixed range; convert it to 8 or 16 bits')
  if image.has_transparency_data:
    image = image.convert('RGBA')
    white = Image.new('RGBA', image.size, 'white')
    gray = channels == 1 or (channels is None and image.mode in ('L', 'LA'))
    image = Image.alpha_composite(white, image).convert('L' if gray else 'RGB')
  mode = {1: 'L', 3: 'RGB', None: 'L' if image.mode in ('1', 'L') else 'RGB'}[channels]
  array = np.asarray(image.convert(mode))
  return array if array.ndim == 3 else array[..., None]


def recolour(image: np.ndarray, channels: int) -> np.ndarray:
  """RGB to gray (ITU-R 601, as Pillow) where one channel is wanted."""
  if image.shape[-1] == channels:
    return image
  luma = (image @ np.array([19595, 38470, 7471]) + 0x8000) >> 16
  return luma.astype(np.uint8)[..., None]


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """uint8 [H, W, C], any C, to [*size, C]: bicubic with antialiasing (Pillow's), as the reference.

  Ids, which are int32, are never mixed: by Pillow's NEAREST.
  """
  if image.shape[:2] == tuple(size):
    return image
  how = Image.Resampling.NEAREST if image.dtype == np.int32 else Image.Resampling.BICUBIC
  height, width = size
  planes = [image] if image.shape[2] == 3 else [image[..., c] for c in range(image.shape[2])]
  planes = [np.asarray(Image.fromarray(p).resize((width, height), how)) for p in planes]
  return planes[0] if image.shape[2] == 3 else np.stack(planes, axis=-1)


def cover(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """uint8 [H, W, C] as small as it covers `size`, its shape kept."""
  scale = max(new / old for new, old in zip(size, image.shape[:2], strict=True))
  return resize(image, tuple(max(new, round(scale * old)) for new, old in zip(size, image.shape[:2], strict=True)))


def fit(image: np.ndarray, size: tuple[int, int], how: str) -> np.ndarray:
  """uint8 [H, W, C] to [*size, C]: 'stretch' resizes whatever its shape, 'cover' keeps it and takes the middle."""
  if how == 'stretch':
    return resize(image, size)
  image = cover(image, size)
  top, left = ((have - want) // 2 for have, want in zip(image.shape[:2], size, strict=True))
  return image[top : top + size[0], left : left + size[1]]


def to_float(image: np.ndarray) -> np.ndarray:
  """uint8 in [0, 255] to float32 in [-1, 1]."""
  return image.astype(np.float32) / 127.5 - 1


def to_uint8(image: np.ndarray) -> np.ndarray:
  """Floats in [-1, 1] to uint8; clipped first, since a cast wraps around."""
  return np.rint(np.clip((np.asarray(image) + 1) * 127.5, 0, 255)).astype(np.uint8)


def write_png(path: Path, image: np.ndarray) -> None:
  """Writes uint8 [H, W, C], C = 1 or 3, under a temporary name, then renames: no half-written file is left."""
  if image.shape[-1] not in (1, 3):
    raise BadInput(f'{path}: an image of {image.shape[-1]} channels cannot be written as PNG (1 or 3 can)')
  with tempfile.NamedTemporaryFile(dir=path.parent, prefix='.', suffix='.png', delete=False) as file:
    try:
      Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, 'PNG')
    except BaseException:
      os.unlink(file.name)
      raise
  os.chmod(file.name, 0o644)
  os.replace(file.name, path)


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

  def rgb(x):
    return x[..., :3] if x.shape[-1] >= 3 else np.repeat(x[..., :1], 3, axis=-1)

  return line([line([rgb(x) for x in row], 1) for row in rows], 0)
