"""Image files that lie, break, block or explode: what strangers send. `images(folder)` writes them all."""

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

SIGNATURE = b'\x89PNG\r\n\x1a\n'


def picture(seed: int = 0, size: tuple[int, int] = (40, 56), channels: int = 3) -> np.ndarray:
  """Smooth noise, uint8 [H, W, C]."""
  coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, channels), np.uint8)
  return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


def encoded(kind: str, seed: int = 0, size: tuple[int, int] = (40, 56), **options: object) -> bytes:
  """A good file of Pillow's format `kind`."""
  file = io.BytesIO()
  Image.fromarray(picture(seed, size)).save(file, kind, **options)
  return file.getvalue()


def tiff(values: np.ndarray, **layout: object) -> bytes:
  file = io.BytesIO()
  tifffile.imwrite(file, values, **layout)
  return file.getvalue()


def npy(values: np.ndarray) -> bytes:
  file = io.BytesIO()
  np.save(file, values, allow_pickle=True)
  return file.getvalue()


def npy_header(header: str) -> bytes:
  text = header.encode('latin1') + b' ' * (-(len(header) + 11) % 64) + b'\n'
  return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(text)) + text


def chunk(name: bytes, content: bytes, crc: int | None = None) -> bytes:
  crc = zlib.crc32(name + content) if crc is None else crc
  return struct.pack('>I', len(content)) + name + content + struct.pack('>I', crc)


def header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
  return chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0))


def png(width: int, height: int, pixels: bytes, *others: bytes, depth: int = 8, colour: int = 2) -> bytes:
  """A PNG whose compressed pixels, and other chunks before them, are given."""
  return b''.join(
    [SIGNATURE, header(width, height, depth, colour), *others, chunk(b'IDAT', pixels), chunk(b'IEND', b'')]
  )


def zeros(count: int) -> bytes:
  """So many zeros, deflated, without holding them."""
  pack, part = zlib.compressobj(9), bytes(1 << 20)
  return b''.join(
    [*(pack.compress(part) for _ in range(count >> 20)), pack.compress(bytes(count % (1 << 20))), pack.flush()]
  )


def bomb(width: int = 13304, height: int = 13304) -> bytes:
  """177 megapixels of one bit, in 21 KB."""
  return png(width, height, zeros((width // 8 + 1) * height), depth=1, colour=0)


def flipped(data: bytes, place: int, bit: int = 3) -> bytes:
  out = bytearray(data)
  out[place] ^= 1 << bit
  return bytes(out)


def jpeg_of_size(width: int, height: int) -> bytes:
  data = bytearray(encoded('JPEG'))
  at = data.index(b'\xff\xc0') + 5
  data[at : at + 4] = struct.pack('>HH', height, width)
  return bytes(data)


def tiff_with(data: bytes, tag: int, value: int) -> bytes:
  """A little-endian TIFF whose first directory has another value for a tag."""
  out = bytearray(data)
  (at,) = struct.unpack_from('<I', out, 4)
  (count,) = struct.unpack_from('<H', out, at)
  for i in range(count):
    entry = at + 2 + 12 * i
    if struct.unpack_from('<H', out, entry)[0] == tag:
      struct.pack_into('<HI', out, entry + 2, 4, 1)
      struct.pack_into('<I', out, entry + 8, value)
  return bytes(out)


def tiff_in_a_circle() -> bytes:
  """Its directory says that the next one is itself."""
  out = bytearray(tiff(picture(), photometric='rgb', metadata=None))
  (at,) = struct.unpack_from('<I', out, 4)
  (count,) = struct.unpack_from('<H', out, at)
  struct.pack_into('<I', out, at + 2 + 12 * count, at)
  return bytes(out)


def tiff_strip_bomb(size: int) -> bytes:
  """Of 5 channels, so that it is no matter for Pillow; its one strip unpacks to `size` bytes."""
  packed = zeros(size)
  good = tiff(
    np.zeros((64, 64, 5), np.uint16),
    photometric='minisblack',
    planarconfig='contig',
    compression='zlib',
    metadata=None,
  )
  out = tiff_with(tiff_with(good, 273, len(good)), 279, len(packed))
  return out + packed


def multiple_pages() -> bytes:
  file = io.BytesIO()
  with tifffile.TiffWriter(file) as out:
    for side in (16, 9):
      out.write(np.zeros((side, 16), np.uint8), photometric='minisblack')
  return file.getvalue()


def moving(kind: str) -> bytes:
  file, frames = io.BytesIO(), [Image.fromarray(picture(i)) for i in range(3)]
  frames[0].save(file, kind, save_all=True, append_images=frames[1:])
  return file.getvalue()


class Harm:
  """Unpickled, it writes a file."""

  def __init__(self, mark: Path) -> None:
    self.mark = mark

  def __reduce__(self) -> tuple:
    return os.system, (f'touch {self.mark}',)


def contents(mark: Path, size: int) -> dict[str, Callable[[], bytes]]:
  """What regular files hold, by their names. `mark`: what would be written if one were executed."""
  good = {'png': encoded('PNG'), 'jpg': encoded('JPEG'), 'bmp': encoded('BMP'), 'webp': encoded('WEBP')}
  good['tif'] = tiff(picture(), photometric='rgb', metadata=None)
  good['npy'] = npy(picture())
  idat = good['png'].index(b'IDAT')
  files: dict[str, Callable[[], bytes]] = {
    'empty.png': lambda: b'',
    'one_byte.jpg': lambda: b'\xff',
    'text.png': lambda: b'not an image\n' * 100,
    'zeros.tif': lambda: bytes(4096),
    'signature.png': lambda: SIGNATURE,
    **{f'cut.{ending}': lambda data=data: data[: len(data) * 2 // 3] for ending, data in good.items()},
    'cut_end.png': lambda: good['png'][:-12],
    'cut_end.jpg': lambda: good['jpg'][: -len(good['jpg']) // 4],
    'crc_header.png': lambda: flipped(good['png'], 8 + 8 + 14),
    'crc_pixels.png': lambda: flipped(good['png'], good['png'].index(b'IEND') - 6),
    'flipped_pixels.png': lambda: flipped(good['png'], idat + 40),
    'crc_text.png': lambda: png(2, 2, zlib.compress(bytes(14)), chunk(b'tEXt', b'a\0b', crc=1)),
    'no_pixels.png': lambda: SIGNATURE + header(8, 8) + chunk(b'IEND', b''),
    'no_width.png': lambda: png(0, 8, zlib.compress(bytes(8))),
    'few_rows.png': lambda: png(56, 40, zlib.compress(bytes(169 * 20))),
    'bomb.png': bomb,
    'claim.png': lambda: png((1 << 31) - 1, (1 << 31) - 1, zlib.compress(bytes(100))),
    'text_bomb.png': lambda: png(2, 2, zlib.compress(bytes(14)), chunk(b'zTXt', b'a\0\0' + zeros(size))),
    'profile_bomb.png': lambda: png(2, 2, zlib.compress(bytes(14)), chunk(b'iCCP', b'a\0\0' + zeros(size))),
    'claim.jpg': lambda: jpeg_of_size(65500, 65500),
    'claim.bmp': lambda: good['bmp'][:18] + struct.pack('<ii', 1 << 30, 1 << 30) + good['bmp'][26:],
    'claim.tif': lambda: tiff_with(tiff_with(good['tif'], 256, 1 << 20), 257, 1 << 20),
    'circle.tif': tiff_in_a_circle,
    'beyond.tif': lambda: tiff_with(good['tif'], 273, 1 << 30),
    'strip_bomb.tif': lambda: tiff_strip_bomb(size),
    'pages.tif': multiple_pages,
    'lab.tif': lambda: tiff(np.ones((8, 8, 3), np.uint16), photometric='cielab', planarconfig='contig'),
    'five.tif': lambda: tiff(np.ones((8, 8, 5), np.uint8), photometric='minisblack', planarconfig='contig'),
    'floats.tif': lambda: tiff(np.ones((8, 8), np.float32)),
    'whole32.tif': lambda: tiff(np.full((8, 8), 1 << 20, np.uint32)),
    'moving.png': lambda: moving('PNG'),
    'moving.webp': lambda: moving('WEBP'),
    'postscript.jpg': lambda: b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(%pipe%touch x) (r) file\n',
    'gif.png': lambda: encoded('GIF'),
    'photoshop.tif': lambda: b'8BPS\0\1' + bytes(6) + struct.pack('>HIIHH', 3, 1 << 15, 1 << 15, 8, 3) + bytes(64),
    'vector.png': lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    'claim.npy': lambda: npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (92681, 92681), }"),
    'objects.npy': lambda: npy(np.array([[Harm(mark)]], object)),
    'header.npy': lambda: npy_header(f"{{'descr': __import__('os').system('touch {mark}'), 'shape': (8, 8)}}"),
    'no_numbers.npy': lambda: npy(np.full((8, 8), np.nan)),
  }  # fmt: skip
  return files


def images(folder: Path, mark: Path, size: int = 1 << 23) -> Iterator[Path]:
  """Writes all into `folder`; what is no regular file too. `size`: bytes that bombs besides pixels unpack to."""
  for name, make in contents(mark, size).items():
    (folder / name).write_bytes(make())
    yield folder / name
  os.mkfifo(folder / 'pipe.png')
  (folder / 'folder.png').mkdir()
  (folder / 'nowhere.png').symlink_to(folder / 'is_not_there.png')
  (folder / 'circle.png').symlink_to(folder / 'circle.png')
  (folder / 'endless.png').symlink_to('/dev/zero')
  with socket.socket(socket.AF_UNIX) as made:
    made.bind(os.path.relpath(folder / 'socket.png'))
  yield from (folder / f'{name}.png' for name in ('pipe', 'folder', 'nowhere', 'circle', 'endless', 'socket'))
