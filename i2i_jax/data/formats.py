"""What image files hold, unchanged: TIFF, PNG and NumPy arrays of any depth, and what else Pillow reads.

Pillow by itself keeps one byte of each value of 16-bit colour, drops further channels and pages of a TIFF, ignores
EXIF rotation, opens pipes and decodes bombs; nothing of that happens here.
"""

import contextlib
import importlib.util
import io
import math
import re
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, cast

import numpy as np
import tifffile
from PIL import Image, ImageFile, UnidentifiedImageError

from i2i_jax.data import strangers
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
NPY, PNG = b'\x93NUMPY', b'\x89PNG\r\n\x1a\n'  # how such files begin
TIFF = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
DEEP = re.compile(r'RGBA?;16([BLN])')  # what Pillow calls 16-bit colour, in big, little or the machine's order
OTHER_BYTE = {'B': 'L', 'L': 'B', 'N': 'B' if sys.byteorder == 'little' else 'L'}
SAMPLES = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # of a TIFF's colours; what it has beyond are other channels
WHITE_IS_ZERO, RGB, ALPHA, PREMULTIPLIED = 0, 2, (2,), (1,)
PLAIN, DEFLATED = (1,), (8, 32946)  # a TIFF's compressions that tifffile needs no other package for
FEW_BITS = {'L;2': 85, 'L;4': 17}  # gray of 2 and 4 bits, in Pillow's words: what makes bytes of its values
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


def held(path: Path, data: bytes | None = None, *, ids: bool = False) -> Held:
  """Reads an image file, turned as its EXIF says; palettes, CMYK and the like become RGB.

  Args:
    data: the bytes of a file that lies in another one; `path` then only names it.
    ids: whether pixels are labels: those of a palette stay its places, 1 bit is 0 and 1, none is transparent.

  Raises:
    BadInput: naming the file and the reason.
  """
  with reading(path, data) as (file, start):
    if start.startswith(NPY):
      return Held(native(npy(path, file)))
    if start[:4] not in TIFF:
      return by_pillow(path, file, ids)
    with tiff(path, file) as (picture, axes):
      page = picture.keyframe
      if ids and page.photometric == WHITE_IS_ZERO:
        raise BadInput(f'{path}: zero is white in it, so which its ids are is not clear; save it with zero as black')
      if not for_pillow(page, axes):
        return by_tifffile(path, file, picture, axes)
    image = by_pillow(path, file, ids)
    # Pillow turns it round at 8 bits, and not at 16.
    inverted = page.photometric == WHITE_IS_ZERO and image.values.dtype == np.uint16
    return image._replace(values=65535 - image.values) if inverted else image


def size(path: Path, data: bytes | None = None) -> tuple[int, int]:
  """(width, height) of what `held` gives, from the header alone. Raises BadInput as `held` does."""
  with reading(path, data) as (file, start):
    if start.startswith(NPY):
      height, width, _ = npy(path, file).shape
      return width, height
    if start[:4] in TIFF:
      with tiff(path, file) as (picture, _):
        sides = dict(zip(picture.axes, picture.shape, strict=True))
        return (sides['Y'], sides['X']) if orientation(picture.keyframe) > 4 else (sides['X'], sides['Y'])
    turning = start != PNG or strangers.may_turn(file)
    with opened(path, file) as image:
      # Asked for its EXIF, Pillow decodes a whole PNG to see whether any comes after the pixels.
      turned = turned_by(image) if turning or 'exif' in image.info else 1
      return image.size[::-1] if turned in (5, 6, 7, 8) else image.size


@contextlib.contextmanager
def reading(path: Path, data: bytes | None = None) -> Iterator[tuple[BinaryIO, bytes]]:
  """The file and how it begins; what goes wrong within becomes BadInput with its name."""
  try:
    with strangers.opened(path, data) as file:
      start = file.read(len(PNG))
      file.seek(0)
      yield file, start
  except BadInput:
    raise
  except Image.DecompressionBombError:
    raise BadInput(f'{path}: it has {strangers.too_many()}') from None
  except UnidentifiedImageError:
    raise BadInput(f'{path}: not an image in a known format ({", ".join(sorted(FORMATS))})') from None
  except Exception as error:  # decoders raise anything when a file is damaged
    reason = getattr(error, 'strerror', None) or ' '.join(str(error).split())[:200] or type(error).__name__
    raise BadInput(f'{path}: cannot be read as an image: {reason}') from None


def native(values: np.ndarray) -> np.ndarray:
  """In memory, in the machine's order of bytes and rows."""
  return np.array(values, values.dtype.newbyteorder('='), order='C', copy=isinstance(values, np.memmap) or None)


# ---------------------------------------------------------------------------------------------------------- NumPy
def npy(path: Path, file: BinaryIO) -> np.ndarray:
  """[H, W, C], mapped and not read yet."""
  header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
  try:
    shape, fortran, dtype = header[np.lib.format.read_magic(file)](file)
  except Exception:  # whatever its text is read as
    raise BadInput(f"{path}: cannot be read as an image: the array's header is damaged") from None
  if dtype.kind not in 'uif' or dtype.itemsize > 8:
    raise BadInput(f'{path}: an array of {dtype}; numbers of up to 64 bits can be read')
  if len(shape) not in (2, 3):
    raise BadInput(f'{path}: an array {list(shape)}; an image is [H, W] or [H, W, C]')
  shape = shape if len(shape) == 3 else (*shape, 1)
  strangers.check_size(path, shape[1], shape[0], shape[2] * dtype.itemsize)
  place, order = file.tell(), cast(Literal['F', 'C'], 'F' if fortran else 'C')
  if file.seek(0, io.SEEK_END) < place + math.prod(shape) * dtype.itemsize:
    raise ValueError('it is cut')
  if isinstance(file, io.BytesIO):
    return np.ndarray(shape, dtype, file.getvalue(), place, order=order)
  return np.memmap(cast(Any, file), dtype, 'r', place, shape, order)


# ----------------------------------------------------------------------------------------------------------- TIFF
@contextlib.contextmanager
def tiff(path: Path, file: BinaryIO) -> Iterator[tuple[tifffile.TiffPageSeries, str]]:
  """The one picture of a file, thumbnails aside, and its axes: 'YX', or these and channels, 'S' or 'C'."""
  with tifffile.TiffFile(file, is_ome=False) as opened:  # an OME file may be a part of a series of files
    pictures = [picture for picture in opened.series if not picture.keyframe.is_reduced]
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
    if page.dtype is None:
      raise BadInput(f'{path}: values of {page.bitspersample} bits, {page.sampleformat!r}, are not read')
    pixels = page.imagewidth * page.imagelength
    channels = math.prod(picture.shape) // max(1, pixels)
    strangers.check_size(path, page.imagewidth, page.imagelength, channels * page.dtype.itemsize)
    yield picture, axes


def orientation(page: tifffile.TiffPage) -> int:
  return page.tags.valueof(274, 1)


def has_alpha(page: tifffile.TiffPage) -> bool:
  """Whether what a page has beyond its colours is transparency; RGB's fourth is, where nothing else is said."""
  unsaid = not page.extrasamples and page.photometric == RGB
  return page.samplesperpixel - SAMPLES.get(page.photometric, 0) == 1 and (
    unsaid or tuple(page.extrasamples) in (ALPHA, PREMULTIPLIED)
  )


def for_pillow(page: Any, axes: str) -> bool:
  """Whether Pillow has to read a page, for its compression or colours, and reads all of it."""
  beyond = page.samplesperpixel - SAMPLES.get(page.photometric, 0)
  whole = page.bitspersample == 8 * page.dtype.itemsize
  known = whole and page.dtype != bool and page.photometric <= RGB and page.compression in PLAIN + DEFLATED
  if page.index != 0 or 'C' in axes or (beyond and not has_alpha(page)):
    return False
  if known and not (has_alpha(page) and tuple(page.extrasamples) == PREMULTIPLIED):
    return False
  if page.dtype in (bool, np.uint8):
    return True
  if page.samplesperpixel == 1:
    return whole and page.dtype in (np.uint16, np.float32)
  deep = page.photometric == RGB and page.dtype == np.uint16 and page.planarconfig == 1
  return deep and whole and tuple(page.extrasamples) != PREMULTIPLIED


def by_tifffile(path: Path, file: BinaryIO, picture: tifffile.TiffPageSeries, axes: str) -> Held:
  page, bits = picture.keyframe, picture.dtype
  inverted = page.photometric == WHITE_IS_ZERO and page.samplesperpixel == 1 and bits in (np.uint8, np.uint16)
  if page.photometric > RGB or (page.photometric == WHITE_IS_ZERO and bits.kind != 'f' and not inverted):
    raise BadInput(f'{path}: its colours, {page.photometric!r}, are not read at {bits}; save it as RGB or gray')
  if page.bitspersample != 8 * bits.itemsize:
    raise BadInput(f'{path}: values of {page.bitspersample} bits are not read; save it with 8 or 16')
  alpha = has_alpha(page)
  if alpha and tuple(page.extrasamples) == PREMULTIPLIED:
    raise BadInput(f'{path}: transparency that its colours are multiplied by is not read at {bits}')
  if page.compression not in PLAIN + DEFLATED and not importlib.util.find_spec('imagecodecs'):
    raise BadInput(f"{path}: {page.compression!r} of such images needs imagecodecs: pip install 'i2i_jax[tiff]'")
  sides = dict(zip(picture.axes, picture.shape, strict=True))
  check_segments(path, file, picture)
  values = picture.asarray().reshape([sides[name] for name in axes])
  values = values[..., None] if axes == 'YX' else np.moveaxis(values, axes.index(axes.strip('YX')), -1)
  values = native(TURNS.get(orientation(page), lambda x: x)(values))
  return Held(np.iinfo(bits).max - values if inverted else values, alpha)


def check_segments(path: Path, file: BinaryIO, picture: tifffile.TiffPageSeries) -> None:
  """That the strips or tiles of a picture are in the file, and that they unpack to no more than they should."""
  end = file.seek(0, io.SEEK_END)
  page: Any
  for page in picture.pages:
    most = math.prod(page.chunks) * page.dtype.itemsize
    if most > strangers.most_bytes():
      raise BadInput(f'{path}: tiles {list(page.chunks)} are more than {strangers.most_bytes():,} bytes')
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if len(places) < math.prod(page.chunked) or any(length < 1 or place + length > end for place, length in places):
      raise ValueError('it is cut')
    if page.compression in DEFLATED:
      strangers.check_unpacked(path, file, places, most)


# --------------------------------------------------------------------------------------------------------- Pillow
@contextlib.contextmanager
def opened(path: Path, file: BinaryIO) -> Iterator[ImageFile.ImageFile]:
  """An image file whose header could be read, of no more pixels than are read."""
  formats = sorted({name for name in FORMATS.values() if name != 'NPY'})
  file.seek(0)
  start = file.read(len(PNG))
  if start == PNG:
    strangers.check_header(path, file)
  elif start[:4] not in TIFF:
    strangers.check_file(path, file.seek(0, io.SEEK_END), 4)
  file.seek(0)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # Pillow warns of odd metadata; what can't be read raises
    with Image.open(file, formats=formats) as image:
      strangers.check_size(path, *image.size, 4)
      if (count := getattr(image, 'n_frames', 1)) > 1 and image.format in ('PNG', 'WEBP'):
        raise BadInput(f'{path}: holds {count} pictures, which move; save one in a file of its own')
      yield image


def by_pillow(path: Path, file: BinaryIO, ids: bool = False) -> Held:
  """Of 16-bit colour, of which Pillow keeps one byte, both bytes are asked for: each as if it were the high one."""
  with opened(path, file) as image:
    if image.format == 'PNG':
      place = file.tell()
      strangers.check_png(path, file)
      file.seek(place)
    layout = layout_of(image)
    if layout in FEW_BITS and isinstance(key := image.info.get('transparency'), int):
      image.info['transparency'] = key * FEW_BITS[layout]  # Pillow scales the pixels, and not this one's value
    if layout == 'LA;16B':  # of these Pillow keeps one too, but the four fit into one pixel
      return Held(loaded(image, 'RGBA').view('>u2').astype(np.uint16), True)
    if deep := DEEP.fullmatch(layout):
      values = joined(*(read_as(path, file, layout[:-1] + order) for order in (deep[1], OTHER_BYTE[deep[1]])))
      return Held(values, True) if values.shape[-1] == 4 else keyed(values, image)
    if ';16' in layout and image.mode in ('RGB', 'RGBA', 'CMYK'):
      raise BadInput(f'{path}: 16 bits in this form, {layout}, are not read; save it as RGB')
    if image.mode.startswith('I;16'):
      values = loaded(image).astype(np.uint16, copy=False)
      return Held(values) if ids else keyed(values, image)
    if image.mode in ('I', 'F') or (ids and image.mode in ('1', 'L', 'P')):
      return Held(loaded(image))
    gray, alpha = image.mode in ('1', 'L', 'LA', 'La'), image.has_transparency_data
    return Held(loaded(image, mode=('L' if gray else 'RGB') + 'A' * alpha), alpha)


def layout_of(image: ImageFile.ImageFile) -> str:
  """How values lie in the file, in Pillow's words."""
  args = image.tile[0].args if image.tile else ''
  first = args[0] if isinstance(args, tuple) and args else args
  return first if isinstance(first, str) else ''


def loaded(image: ImageFile.ImageFile, layout: str = '', mode: str = '') -> np.ndarray:
  """The pixels [H, W, C], turned as EXIF says.

  Args:
    layout: as if they lay so, where that is given. mode: Pillow's, that they are converted to.
  """
  if layout:
    image.tile = [
      tile._replace(args=(layout, *tile.args[1:]) if isinstance(tile.args, tuple) else layout) for tile in image.tile
    ]
  image.load()

  def part(rows):
    strip = image.crop((0, rows.start, image.width, min(rows.stop, image.height)))
    values = np.asarray(strip.convert(mode) if mode else strip)
    return values if values.ndim == 3 else values[..., None]

  first = part(slice(0, 1))
  values = np.empty((image.height, image.width, first.shape[-1]), first.dtype)

  def fill(rows):
    values[rows] = part(rows)

  strangers.in_strips(values.size, image.height, fill)
  turn = TURNS.get(turned_by(image))
  return np.ascontiguousarray(turn(values)) if turn else values


def read_as(path: Path, file: BinaryIO, layout: str) -> np.ndarray:
  with opened(path, file) as image:
    return loaded(image, layout)


def turned_by(image: ImageFile.ImageFile) -> int:
  """Its EXIF orientation; 1 once Pillow has turned it itself, as it does with TIFF."""
  found = image.getexif().get(0x0112, 1)
  return found if isinstance(found, int) else 1


def joined(high: np.ndarray, low: np.ndarray) -> np.ndarray:
  """uint16 of its two bytes."""
  values = np.empty(high.shape, np.uint16)

  def fill(rows):
    values[rows] = high[rows].astype(np.uint16) << 8 | low[rows]

  strangers.in_strips(values.size, len(values), fill)
  return values


def keyed(values: np.ndarray, image: ImageFile.ImageFile) -> Held:
  """16-bit gray or RGB with transparency, where the file names one colour that is transparent."""
  key = image.info.get('transparency')
  if key is None:
    return Held(values)
  with_alpha = np.empty((*values.shape[:2], values.shape[2] + 1), np.uint16)

  def fill(rows):
    with_alpha[rows, :, :-1] = values[rows]
    with_alpha[rows, :, -1] = np.where((values[rows] == np.asarray(key)).all(-1), 0, 65535)

  strangers.in_strips(values.size, len(values), fill)
  return Held(with_alpha, True)


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
