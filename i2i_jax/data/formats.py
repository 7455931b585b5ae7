"""What image files hold, unchanged: TIFF, PNG and NumPy arrays of any depth, and what else Pillow reads.

Pillow by itself keeps one byte of each value of 16-bit colour, drops further channels and pages of a TIFF, ignores
EXIF rotation, opens pipes and decodes bombs; nothing of that happens here.
"""

import contextlib
import io
import math
import os
import re
import stat
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from i2i_jax.errors import BadInput

FORMATS = {
  '.png': 'PNG',
  '.jpg': 'JPEG',
  '.jpeg': 'JPEG',
  '.bmp': 'BMP',
  '.tif': 'TIFF',
  '.tiff': 'TIFF',
  '.webp': 'WEBP',
  '.npy': 'NPY',
}
MAX_PIXELS = 1 << 28
MAX_BYTES = 1 << 30  # of a TIFF or an array, decoded
NPY = b'\x93NUMPY'  # how such files begin
TIFF = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
DEEP = re.compile(r'RGBA?;16([BLN])')  # what Pillow calls 16-bit colour, in big, little or the machine's order
OTHER_BYTE = {'B': 'L', 'L': 'B', 'N': 'B' if sys.byteorder == 'little' else 'L'}
SAMPLES = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # of a TIFF's colours; what it has beyond are other channels
WHITE_IS_ZERO, RGB, ALPHA, PREMULTIPLIED = 0, 2, (2,), (1,)
# An array by its EXIF orientation.
TURNS = {
  2: lambda x: x[:, ::-1],
  3: lambda x: x[::-1, ::-1],
  4: lambda x: x[::-1],
  5: lambda x: x.swapaxes(0, 1),
  6: lambda x: np.rot90(x, -1),
  7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
  8: lambda x: np.rot90(x),
}


class Held(NamedTuple):
  """What a file holds."""

  values: np.ndarray  # [H, W, C] of the file's own type, like uint8, uint16 or float32
  alpha: bool = False  # whether the last channel is transparency


def held(path: Path, data: bytes | None = None) -> Held:
  """Reads an image file, turned as its EXIF says; palettes, CMYK and the like become RGB.

  With `data`, the bytes of a file that lies in another one, `path` only names it; they are what Pillow reads.

  Raises:
    BadInput: naming the file and the reason.
  """
  with reading(path, data):
    if data is not None:
      return by_pillow(path, data)
    start = beginning(path)
    if start == NPY:
      return Held(native(npy(path)))
    if start[:4] not in TIFF:
      return by_pillow(path)
    with tiff(path) as (picture, axes):
      page = picture.keyframe
      if not for_pillow(page, axes):
        return by_tifffile(path, picture, axes)
    image = by_pillow(path)
    # Pillow turns it round at 8 bits, and not at 16.
    inverted = page.photometric == WHITE_IS_ZERO and image.values.dtype == np.uint16
    return image._replace(values=65535 - image.values) if inverted else image


def size(path: Path, data: bytes | None = None) -> tuple[int, int]:
  """(width, height) of what `held` gives, from the header alone. Raises BadInput as `held` does."""
  with reading(path, data):
    start = beginning(path) if data is None else b''
    if start == NPY:
      height, width, _ = npy(path).shape
      return width, height
    if start[:4] in TIFF:
      with tiff(path) as (picture, _):
        sides = dict(zip(picture.axes, picture.shape, strict=True))
        return (sides['Y'], sides['X']) if orientation(picture.keyframe) > 4 else (sides['X'], sides['Y'])
    with opened(path, data) as image:
      # Asked for its EXIF, Pillow decodes a whole PNG to see whether any comes after the pixels.
      exif = {} if image.format == 'PNG' and 'exif' not in image.info else image.getexif()
      return image.size[::-1] if exif.get(0x0112, 1) in (5, 6, 7, 8) else image.size


@contextlib.contextmanager
def reading(path: Path, data: bytes | None = None) -> Iterator[None]:
  """What goes wrong within becomes BadInput with the file's name."""
  try:
    if data is None and not stat.S_ISREG(os.stat(path).st_mode):
      raise BadInput(f'{path}: not a regular file')
    yield
  except BadInput:
    raise
  except UnidentifiedImageError:
    raise BadInput(f'{path}: not an image in a known format ({", ".join(sorted(FORMATS))})') from None
  except Exception as error:  # decoders raise anything when a file is damaged
    raise BadInput(f'{path}: cannot be read as an image: {getattr(error, "strerror", None) or error}') from None


def beginning(path: Path) -> bytes:
  with open(path, 'rb') as file:
    return file.read(len(NPY))


def native(values: np.ndarray) -> np.ndarray:
  """A copy in memory, in the machine's order of bytes."""
  return np.array(values, values.dtype.newbyteorder('='), order='C')


# ---------------------------------------------------------------------------------------------------------- NumPy
def npy(path: Path) -> np.ndarray:
  """[H, W, C], mapped and not read yet."""
  array = np.lib.format.open_memmap(path, mode='r')
  if array.dtype.kind not in 'uif' or array.dtype.itemsize > 8:
    raise BadInput(f'{path}: an array of {array.dtype}; numbers of up to 64 bits can be read')
  if array.ndim not in (2, 3) or array.nbytes > MAX_BYTES:
    raise BadInput(
      f'{path}: an array {list(array.shape)}; an image is [H, W] or [H, W, C], of up to {MAX_BYTES:,} bytes'
    )
  return array if array.ndim == 3 else array[..., None]


# ----------------------------------------------------------------------------------------------------------- TIFF
@contextlib.contextmanager
def tiff(path: Path) -> Iterator[tuple[tifffile.TiffPageSeries, str]]:
  """The one picture of a file, thumbnails aside, and its axes: 'YX', or these and channels, 'S' or 'C'."""
  with tifffile.TiffFile(path, is_ome=False) as file:  # an OME file may be a part of a series of files
    pictures = [picture for picture in file.series if not picture.keyframe.is_reduced]
    if len(pictures) != 1:
      raise BadInput(f'{path}: holds {len(pictures)} pictures; save each in a file of its own')
    (picture,) = pictures
    axes = ''.join(name for name, n in zip(picture.axes, picture.shape, strict=True) if name in 'YX' or n > 1)
    if axes not in ('YX', 'YXS', 'SYX', 'CYX', 'YXC'):
      raise BadInput(
        f'{path}: a stack {list(picture.shape)} of pictures (axes {picture.axes}): save each in a file of its own, '
        "or as channels, tifffile.imwrite(..., photometric='minisblack', planarconfig='separate')"
      )
    page = picture.keyframe
    pixels, values = page.imagewidth * page.imagelength, math.prod(picture.shape)
    if pixels > MAX_PIXELS or values * picture.dtype.itemsize > MAX_BYTES:
      shape = list(picture.shape)
      raise BadInput(f'{path}: {shape} of {picture.dtype} is more than {MAX_PIXELS:,} pixels or {MAX_BYTES:,} bytes')
    yield picture, axes


def orientation(page: tifffile.TiffPage) -> int:
  return page.tags.valueof(274, 1)


def has_alpha(page: tifffile.TiffPage) -> bool:
  """Whether what a page has beyond its colours is transparency; RGB's fourth is, where nothing else is said."""
  unsaid = not page.extrasamples and page.photometric == RGB
  return page.samplesperpixel - SAMPLES.get(page.photometric, 0) == 1 and (
    unsaid or tuple(page.extrasamples) in (ALPHA, PREMULTIPLIED)
  )


def for_pillow(page: tifffile.TiffPage, axes: str) -> bool:
  """Whether Pillow reads all of a page: it has more of the compressions, and knows all colours of 8 bits."""
  beyond = page.samplesperpixel - SAMPLES.get(page.photometric, 0)
  if page.index != 0 or 'C' in axes or (beyond and not has_alpha(page)):
    return False
  if page.dtype in (bool, np.uint8):
    return True
  if page.samplesperpixel == 1:
    return page.dtype in (np.uint16, np.float32)
  deep = page.photometric == RGB and page.dtype == np.uint16 and page.planarconfig == 1
  return deep and tuple(page.extrasamples) != PREMULTIPLIED


def by_tifffile(path: Path, picture: tifffile.TiffPageSeries, axes: str) -> Held:
  page = picture.keyframe
  if page.dtype is None:
    raise BadInput(f'{path}: values of {page.bitspersample} bits, {page.sampleformat!r}, are not read')
  if page.photometric > RGB or (page.photometric == WHITE_IS_ZERO and page.dtype.kind != 'f'):
    raise BadInput(f'{path}: its colours, {page.photometric!r}, are not read at {page.dtype}; save it as RGB or gray')
  alpha = has_alpha(page)
  if alpha and tuple(page.extrasamples) == PREMULTIPLIED:
    raise BadInput(f'{path}: transparency that its colours are multiplied by is not read at {page.dtype}')
  sides = dict(zip(picture.axes, picture.shape, strict=True))
  values = picture.asarray().reshape([sides[name] for name in axes])
  values = values[..., None] if axes == 'YX' else np.moveaxis(values, axes.index(axes.strip('YX')), -1)
  return Held(native(TURNS.get(orientation(page), lambda x: x)(values)), alpha)


# --------------------------------------------------------------------------------------------------------- Pillow
@contextlib.contextmanager
def opened(path: Path, data: bytes | None = None) -> Iterator[ImageFile.ImageFile]:
  """An image file whose header could be read."""
  formats = sorted({name for name in FORMATS.values() if name != 'NPY'})
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # Pillow warns of odd metadata; what can't be read raises
    with Image.open(path if data is None else io.BytesIO(data), formats=formats) as image:
      if image.width * image.height > MAX_PIXELS:
        raise BadInput(f'{path}: {image.width}x{image.height} is more than {MAX_PIXELS:,} pixels')
      yield image


def by_pillow(path: Path, data: bytes | None = None) -> Held:
  """Of 16-bit colour, of which Pillow keeps one byte, both bytes are asked for: each as if it were the high one."""
  with opened(path, data) as image:
    layout = layout_of(image)
    if layout == 'LA;16B':  # of these Pillow keeps one too, but the four fit into one pixel
      return Held(loaded(image, 'RGBA').view('>u2').astype(np.uint16), True)
    if deep := DEEP.fullmatch(layout):
      high = loaded(image).astype(np.uint16)
      with opened(path, data) as again:
        values = high << 8 | loaded(again, layout[:-1] + OTHER_BYTE[deep[1]])
      return Held(values, True) if values.shape[-1] == 4 else keyed(values, image)
    if ';16' in layout and image.mode in ('RGB', 'RGBA', 'CMYK'):
      raise BadInput(f'{path}: 16 bits in this form, {layout}, are not read; save it as RGB')
    if image.mode.startswith('I;16'):
      return keyed(loaded(image).astype(np.uint16)[..., None], image)
    if image.mode in ('I', 'F'):
      return Held(loaded(image)[..., None])
    gray, alpha = image.mode in ('1', 'L', 'LA', 'La'), image.has_transparency_data
    mode = ('L' if gray else 'RGB') + 'A' * alpha
    values = np.asarray(ImageOps.exif_transpose(image).convert(mode))
    return Held(values if values.ndim == 3 else values[..., None], alpha)


def layout_of(image: ImageFile.ImageFile) -> str:
  """How values lie in the file, in Pillow's words."""
  args = image.tile[0].args if image.tile else ''
  first = args[0] if isinstance(args, tuple) and args else args
  return first if isinstance(first, str) else ''


def loaded(image: ImageFile.ImageFile, layout: str = '') -> np.ndarray:
  """The pixels, turned as EXIF says; decoded as if they lay as `layout` says, where that is given."""
  if layout:
    image.tile = [
      tile._replace(args=(layout, *tile.args[1:]) if isinstance(tile.args, tuple) else layout) for tile in image.tile
    ]
  image.load()
  return np.asarray(ImageOps.exif_transpose(image))


def keyed(values: np.ndarray, image: ImageFile.ImageFile) -> Held:
  """16-bit gray or RGB with transparency, where the file names one colour that is transparent."""
  key = image.info.get('transparency')
  if key is None:
    return Held(values)
  clear = (values == np.asarray(key)).all(-1, keepdims=True)
  return Held(np.concatenate([values, np.where(clear, 0, 65535).astype(np.uint16)], -1), True)


# -------------------------------------------------------------------------------------------------------- writing
def as_png(image: np.ndarray) -> bytes:
  """A file of uint8 or uint16 [H, W, C], C = 1 or 3."""
  if image.dtype == np.uint16:
    return as_deep_png(image)
  file = io.BytesIO()
  Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, 'PNG')
  return file.getvalue()


def as_deep_png(image: np.ndarray) -> bytes:
  """Of 16 bits, whose RGB Pillow does not write: each row as its difference from the one above, compressed."""
  height, width, channels = image.shape
  rows = image.astype('>u2').reshape(height, -1).view(np.uint8)
  lines = np.concatenate([np.full((height, 1), 2, np.uint8), np.diff(rows, axis=0, prepend=np.uint8(0))], 1)

  def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))

  header = struct.pack('>IIBBBBB', width, height, 16, {1: 0, 3: 2}[channels], 0, 0, 0)
  parts = (chunk(b'IHDR', header), chunk(b'IDAT', zlib.compress(lines.tobytes())), chunk(b'IEND', b''))
  return b'\x89PNG\r\n\x1a\n' + b''.join(parts)


def as_tiff(image: np.ndarray) -> bytes:
  """A file of [H, W, C], any C and type, not compressed."""
  file, channels = io.BytesIO(), image.shape[-1]
  if channels == 1:
    tifffile.imwrite(file, image[..., 0], photometric='minisblack', metadata=None)
  else:
    photometric = 'rgb' if channels == 3 else 'minisblack'
    tifffile.imwrite(file, image, photometric=photometric, planarconfig='contig', metadata=None)
  return file.getvalue()


def as_npy(image: np.ndarray) -> bytes:
  file = io.BytesIO()
  np.save(file, image, allow_pickle=False)
  return file.getvalue()
