"""Files from strangers: what is opened at all, how large an image may be, and whether a PNG is whole."""

import contextlib
import io
import itertools
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from i2i_jax.errors import BadInput

MEGAPIXELS = 64  # an image of more is refused before it is decoded
VARIABLE = 'I2I_MAX_MEGAPIXELS'  # of the environment, for another number
RAISABLE = 178  # megapixels, beyond which Pillow refuses them itself
BYTES = 6  # a pixel, decoded: RGB of 16 bits
PART = 1 << 20  # bytes that are read at a time
METADATA = 1 << 26  # bytes of a file besides its pixels
PIXELS, END = b'IDAT', b'IEND'  # chunks of a PNG
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the colour type in its header
# Of an interlaced PNG: its first row and column, and the steps to the next.
PASSES = (
  (0, 0, 8, 8),
  (0, 4, 8, 8),
  (4, 0, 8, 4),
  (0, 2, 4, 4),
  (2, 0, 4, 2),
  (0, 1, 2, 2),
  (1, 0, 2, 1),
)
TURNING = (b'XML:com.adobe.xmp', b'Raw profile type')  # texts of a PNG that may say how it is turned


class Chunk(NamedTuple):
  """A part of a PNG file."""

  name: bytes
  place: int  # in the file, of its content
  length: int


@contextlib.contextmanager
def opened(path: Path, data: bytes | None = None) -> Iterator[BinaryIO]:
  """A regular file, or `data` in its place. Nothing else is ever opened: a pipe would wait for its other end.

  Raises:
    BadInput: it is none, or larger than any image that would be read.
  """
  if data is not None:
    yield io.BytesIO(data)
    return
  regular(path, os.stat(path))
  # It may have become a pipe since: that is opened without waiting, and closed.
  with open(path, 'rb', opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
    regular(path, os.fstat(file.fileno()))
    yield file


def regular(path: Path, found: os.stat_result) -> None:
  if not stat.S_ISREG(found.st_mode):
    raise BadInput(f'{path}: not a regular file')
  check_file(path, found.st_size, BYTES)


def check_file(path: Path, size: int, bytes_each: int) -> None:
  """Raises BadInput for a file of more bytes than an image of so many bytes a pixel would take unpacked."""
  if size > bytes_each * most_pixels() + METADATA:
    raise BadInput(f'{path}: a file of {size:,} bytes is larger than any image that is read')


def most_pixels() -> int:
  given = os.environ.get(VARIABLE, str(MEGAPIXELS))
  if not given.isdecimal() or not 1 <= int(given) <= RAISABLE:
    raise BadInput(f'{VARIABLE}={given} in the environment must be a whole number, from 1 to {RAISABLE}')
  return int(given) * 1_000_000


def most_bytes() -> int:
  return BYTES * most_pixels()


def check_size(path: Path, width: int, height: int, bytes_each: int) -> None:
  """Raises BadInput for an image without pixels, or with more than are read. `bytes_each`: of a decoded pixel."""
  if min(width, height, bytes_each) < 1:
    raise BadInput(f'{path}: {width}x{height} pixels, so none')
  if width * height > most_pixels():
    raise BadInput(f'{path}: {width}x{height} is {too_many()}')
  if width * height * bytes_each > most_bytes():
    raise BadInput(
      f'{path}: {width}x{height} pixels of {bytes_each} bytes are more than {most_bytes():,} bytes; make it smaller, '
      f'or set {VARIABLE} in the environment, of which each stands for {BYTES} million bytes'
    )


def too_many() -> str:
  return (
    f'more than {most_pixels() // 1_000_000} million pixels; make it smaller, or set {VARIABLE} in the environment, '
    f'at most {RAISABLE}'
  )


def chunks(file: BinaryIO) -> Iterator[Chunk]:
  """The parts of a PNG file up to its end. Raises ValueError where that is missing."""
  place = 8
  while True:
    file.seek(place)
    if len(head := file.read(8)) < 8:
      raise ValueError('it is cut')
    length, name = struct.unpack('>I4s', head)
    yield Chunk(name, place + 8, length)
    if name == END:
      return
    place += 12 + length


def check_header(path: Path, file: BinaryIO) -> int:
  """How many bytes a PNG's pixels take, unpacked: each row with a byte that says how it is stored.

  Raises:
    BadInput, ValueError: its header is damaged, or it is larger than what is read.
  """
  metadata = 0
  with contextlib.suppress(ValueError):  # cut: a header says a size all the same
    for chunk in chunks(file):
      metadata += chunk.length if chunk.name != PIXELS else 0
  if metadata > METADATA:
    raise ValueError(f'it has more than {METADATA:,} bytes besides its pixels')
  file.seek(16)
  width, height, depth, colour, _, _, interlaced = struct.unpack('>IIBBBBB', file.read(13))
  if colour not in SAMPLES or depth not in (1, 2, 4, 8, 16):
    raise ValueError(f'its header is damaged: {depth} bits, colour type {colour}')
  check_size(path, width, height, -(-SAMPLES[colour] * depth // 8))
  total = 0
  for top, left, down, across in PASSES if interlaced else ((0, 0, 1, 1),):
    rows, columns = -(-(height - top) // down), -(-(width - left) // across)
    if rows > 0 and columns > 0:
      total += rows * (1 + -(-columns * depth * SAMPLES[colour] // 8))
  return total


def check_png(path: Path, file: BinaryIO) -> None:
  """Pillow looks at no checksum of the pixels, and leaves rows black that are not there.

  Raises:
    BadInput, ValueError: as `check_header`; a checksum is wrong, there are fewer pixels than the header says.
  """
  wanted, found, unpack = check_header(path, file), 0, zlib.decompressobj()
  for chunk in chunks(file):
    file.seek(chunk.place)
    checksum = zlib.crc32(chunk.name)
    for start in range(0, chunk.length, PART):
      part = file.read(min(PART, chunk.length - start))
      checksum = zlib.crc32(part, checksum)
      while chunk.name == PIXELS and part and found < wanted:
        found += len(unpack.decompress(part, PART))
        part = unpack.unconsumed_tail
    if file.read(4) != struct.pack('>I', checksum):
      raise ValueError(f'it is cut or damaged: the checksum of {chunk.name.decode("latin1")!r} is wrong')
  if found < wanted:
    raise ValueError('it has fewer pixels than its header says')
  file.seek(0)


def may_turn(file: BinaryIO) -> bool:
  """Whether a PNG may say how it is turned in a text or after its pixels, which Pillow reads when it decodes them."""
  seen = False
  with contextlib.suppress(ValueError):  # of a file that is cut, which is said when it is read
    for chunk in chunks(file):
      seen |= chunk.name == PIXELS
      file.seek(chunk.place)
      if (chunk.name == b'eXIf' and seen) or file.read(min(chunk.length, 20)).startswith(TURNING):
        return True
  return False


def check_unpacked(path: Path, file: BinaryIO, places: list[tuple[int, int]], most: int) -> None:
  """Raises BadInput where deflated parts of a file, (place, length) each, unpack to more than `most` bytes."""
  for place, length in places:
    file.seek(place)
    unpack = zlib.decompressobj()
    if len(unpack.decompress(file.read(length), most + 1)) > most:
      raise BadInput(f'{path}: a part of it unpacks to more than its pixels')
  file.seek(0)


def in_strips(values: int, height: int, work: Callable[[slice], None]) -> None:
  """Calls `work` with the rows of an image, so many that they have about 2^22 of its `values`."""
  rows = max(1, (height << 22) // max(1, values))
  for top in itertools.takewhile(lambda top: top < height, itertools.count(0, rows)):
    work(slice(top, top + rows))
