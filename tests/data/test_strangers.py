"""Image files from strangers: refused with one line, or read right. What is right is known from how they are made."""

import io
import itertools
import struct

import numpy as np
import png
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from i2i_jax.data import formats, images, labels, strangers
from i2i_jax.errors import BadInput
from tests import hostile

QUICK = settings(
  max_examples=20, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
SIZE = (24, 40)
# An array [H, W, C] by its EXIF orientation, written out.
TURNED = {
  1: lambda x: x,
  2: lambda x: x[:, ::-1],
  3: lambda x: x[::-1, ::-1],
  4: lambda x: x[::-1],
  5: lambda x: x.transpose(1, 0, 2),
  6: lambda x: x.transpose(1, 0, 2)[:, ::-1],
  7: lambda x: x.transpose(1, 0, 2)[::-1, ::-1],
  8: lambda x: x.transpose(1, 0, 2)[::-1],
}


def values(channels, dtype=np.uint8, seed=0):
  return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (*SIZE, channels), dtype, endpoint=True)


def agree(file, wanted, channels=3, most=2.0):
  """A file, and its bytes in another one, give values of 0 to 255 and their size."""
  for data in (None, file.read_bytes()):
    found = images.read(file, channels, data=data)
    assert found.shape == (*wanted.shape[:2], channels)
    assert images.size(file, data=data) == wanted.shape[1::-1]
    assert np.abs(found - wanted.astype(float)).max() <= most


# --------------------------------------------------------------------------------------------------- read right
@pytest.mark.parametrize('byteorder', ['<', '>'])
@pytest.mark.parametrize('compression', [None, 'zlib'])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_gray_whose_zero_is_white(tmp_path, dtype, compression, byteorder):
  stored, file = values(1, dtype), tmp_path / 'x.tif'
  tifffile.imwrite(file, stored[..., 0], photometric='miniswhite', compression=compression, byteorder=byteorder)
  top = np.iinfo(dtype).max
  agree(file, (top - stored.astype(float)) / top * 255, 1)
  with pytest.raises(BadInput, match='zero is white'):
    labels.read(file)


@pytest.mark.parametrize('turn', TURNED)
@pytest.mark.parametrize(('dtype', 'channels'), [(np.uint8, 1), (np.uint16, 1), (np.uint8, 3), (np.uint16, 3)])
def test_tiff_is_turned(tmp_path, dtype, channels, turn):
  stored, file = values(channels, dtype), tmp_path / 'x.tif'
  tag, photometric = (274, 'H', 1, turn, True), 'rgb' if channels == 3 else 'minisblack'
  tifffile.imwrite(file, stored.squeeze(), photometric=photometric, metadata=None, extratags=[tag])
  agree(file, TURNED[turn](stored) / np.iinfo(dtype).max * 255.0, channels)


@pytest.mark.parametrize('turn', TURNED)
def test_all_others_are_turned_wherever_they_say_so(tmp_path, turn):
  picture, exif = hostile.picture(0, SIZE), Image.Exif()
  exif[274] = turn
  wanted = TURNED[turn](picture)
  for kind, name, options in (
    ('PNG', 'x.png', {}),
    ('WEBP', 'x.webp', {'lossless': True}),
    ('JPEG', 'x.jpg', {'quality': 100, 'subsampling': 0}),
    ('TIFF', 'x.tif', {'compression': 'tiff_lzw'}),
  ):
    Image.fromarray(picture).save(tmp_path / name, kind, exif=exif, **options)
    agree(tmp_path / name, wanted, most=4 if kind == 'JPEG' else 0)
  plain = hostile.encoded('PNG', size=SIZE)
  (tmp_path / 'late.png').write_bytes(plain[:-12] + hostile.chunk(b'eXIf', exif.tobytes()[6:]) + plain[-12:])
  agree(tmp_path / 'late.png', wanted, most=0)


@pytest.mark.parametrize('interlace', [False, True])
@pytest.mark.parametrize(('depth', 'planes'), [(1, 1), (2, 1), (4, 1), (8, 1), (16, 1), (8, 3), (16, 3)])
def test_png_with_a_colour_that_is_transparent(tmp_path, depth, planes, interlace):
  """Of gray with 4 bits another one was: Pillow scales pixels, and not the colour that is named."""
  stored, file = values(planes, np.uint16) >> (16 - depth), tmp_path / 'x.png'
  for row in (0, 5):
    key = stored[row, 3].tolist()
    layout = {'greyscale': planes == 1, 'bitdepth': depth, 'interlace': interlace}
    with open(file, 'wb') as out:
      png.Writer(*SIZE[::-1], transparent=key if planes == 3 else key[0], **layout).write(
        out, stored.reshape(24, -1).tolist()
      )
    wanted = np.where((stored == key).all(-1, keepdims=True), 255, stored / (2**depth - 1) * 255)
    agree(file, wanted.repeat(3 // planes, -1))


@pytest.mark.parametrize('mode', ['L', 'LA', 'P', 'RGB', 'RGBA', 'CMYK'])
def test_8_bits_by_their_formulas(tmp_path, mode):
  stored = values({'L': 1, 'P': 1, 'LA': 2, 'RGB': 3}.get(mode, 4))
  image = Image.fromarray(stored.squeeze(), mode=None if mode != 'CMYK' else 'CMYK') if mode != 'P' else None
  palette, wanted = values(3, seed=1).reshape(-1, 3)[:256], stored.astype(float)
  if mode == 'P':
    image = Image.fromarray(stored[..., 0])
    image.putpalette(palette.ravel().tolist())
    wanted = palette[stored[..., 0]]
  if mode in ('LA', 'RGBA'):
    share = wanted[..., -1:] / 255
    wanted = wanted[..., :-1] * share + 255 * (1 - share)
  if mode == 'CMYK':
    wanted = (255 - wanted[..., :3]) * (255 - wanted[..., 3:]) / 255
  for name in ('x.tif',) if mode == 'CMYK' else ('x.png', 'x.tif'):
    image.save(tmp_path / name)
    agree(tmp_path / name, np.broadcast_to(wanted, (*SIZE, 3)))


@pytest.mark.parametrize('dtype', [np.int32, np.uint32])
def test_32_bits_are_numbers_or_refused(tmp_path, dtype):
  stored = np.arange(48).reshape(6, 8).astype(dtype) * 1000
  tifffile.imwrite(tmp_path / 'x.tif', stored)
  data = (tmp_path / 'x.tif').read_bytes()
  for inner in (None, data):
    np.testing.assert_array_equal(images.read(tmp_path / 'x.tif', 1, 32, data=inner)[..., 0], stored)
    with pytest.raises(BadInput, match='have no fixed range'):
      images.read(tmp_path / 'x.tif', 1, 8, data=inner)


@pytest.mark.parametrize('bits', [2, 4, 12])
def test_few_bits_of_a_tiff_are_scaled_or_refused(tmp_path, bits):
  stored = values(1)[..., 0].astype(np.int64) & (2**bits - 1)
  rows = ((stored[..., None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8).reshape(24, -1)
  packed = np.packbits(rows, axis=1).tobytes()
  tags = {256: 40, 257: 24, 258: bits, 259: 1, 262: 1, 273: 8 + 2 + 9 * 12 + 4, 277: 1, 278: 24, 279: len(packed)}
  head = b''.join(struct.pack('<HHII', tag, 4, 1, value) for tag, value in tags.items())
  (tmp_path / 'x.tif').write_bytes(struct.pack('<2sHIH', b'II', 42, 8, len(tags)) + head + bytes(4) + packed)
  if bits == 12:
    with pytest.raises(BadInput, match='values of 12 bits'):
      images.read(tmp_path / 'x.tif', 1)
  else:
    agree(tmp_path / 'x.tif', stored[..., None] * 255 / (2**bits - 1), 1)


# ------------------------------------------------------------------------------------------------------- refused
READABLE = {'circle.tif'}  # its one picture is whole


def test_hostile_files_are_refused_in_one_line(tmp_path):
  mark, looked_at = tmp_path / 'mark', 0
  (tmp_path / 'in').mkdir()
  for file in hostile.images(tmp_path / 'in', mark):
    looked_at += 1
    if file.name in READABLE:
      images.read(file, 3)
      continue
    with pytest.raises(BadInput) as refused:
      images.read(file, 3)
    assert str(refused.value).startswith(f'{file}: ') and '\n' not in str(refused.value)
  assert looked_at > 45 and not mark.exists()


def test_a_pipe_is_never_opened(tmp_path, monkeypatch):
  hostile.os.mkfifo(tmp_path / 'x.png')
  monkeypatch.setattr('builtins.open', lambda *args, **kwargs: pytest.fail('it was opened'))
  for look in (images.read, images.size, labels.read):
    with pytest.raises(BadInput, match='not a regular file'):
      look(tmp_path / 'x.png')


def test_the_cap_holds_before_decoding_and_says_how_to_raise_it(tmp_path, monkeypatch):
  """By the header alone: the pixels are not even there."""
  claims = {'x.png': (8001, 8000), 'deep.png': (7000, 7000), 'x.npy': (8001, 8000)}
  (tmp_path / 'x.png').write_bytes(hostile.png(8001, 8000, b''))
  (tmp_path / 'deep.png').write_bytes(hostile.png(7000, 7000, b'', depth=16, colour=6))
  (tmp_path / 'x.npy').write_bytes(
    hostile.npy_header("{'descr': '|u1', 'fortran_order': False, 'shape': (8000, 8001)}")
  )
  for name, look in itertools.product(claims, (images.read, images.size)):
    with pytest.raises(BadInput, match=r'set\s+I2I_MAX_MEGAPIXELS in the environment'):
      look(tmp_path / name)
  (tmp_path / 'good.png').write_bytes(hostile.png(7000, 7142, b''))
  assert images.size(tmp_path / 'good.png') == (7000, 7142)  # 50 megapixels
  monkeypatch.setenv(strangers.VARIABLE, '100')
  assert images.size(tmp_path / 'x.png') == (8001, 8000)
  for wrong in ('0', '-1', 'many', '1e3', '500'):
    monkeypatch.setenv(strangers.VARIABLE, wrong)
    with pytest.raises(BadInput, match=f'I2I_MAX_MEGAPIXELS={wrong} in the environment must be'):
      images.size(tmp_path / 'x.png')


def good_files():
  picture = hostile.picture(0, SIZE)
  five = np.concatenate([picture, picture[..., :2]], -1)
  palette = io.BytesIO()
  Image.fromarray(picture).quantize(16).save(palette, 'PNG')
  return {
    'x.png': hostile.encoded('PNG', size=SIZE),
    'palette.png': palette.getvalue(),
    'deep.png': formats.as_png(picture.astype(np.uint16) * 257),
    'x.jpg': hostile.encoded('JPEG', size=SIZE),
    'progressive.jpg': hostile.encoded('JPEG', size=SIZE, progressive=True),
    'x.bmp': hostile.encoded('BMP', size=SIZE),
    'x.webp': hostile.encoded('WEBP', size=SIZE),
    'x.tif': hostile.tiff(picture, photometric='rgb', metadata=None),
    'lzw.tif': hostile.encoded('TIFF', size=SIZE, compression='tiff_lzw'),
    'five.tif': hostile.tiff(
      five, photometric='minisblack', planarconfig='contig', rowsperstrip=5, compression='zlib'
    ),
    'x.npy': hostile.npy(picture),
  }


GOOD = good_files()


@pytest.mark.parametrize('name', GOOD)
def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path, name):
  whole, file = GOOD[name], tmp_path / name
  for length in sorted({*range(0, len(whole), max(1, len(whole) // 25)), *range(len(whole) - 3, len(whole))}):
    file.write_bytes(whole[:length])
    with pytest.raises(BadInput):
      images.read(file)


@pytest.mark.parametrize('name', [name for name in GOOD if name.endswith('png')])
def test_no_flipped_bit_of_a_png_passes(tmp_path, name):
  whole, file, rng = GOOD[name], tmp_path / name, np.random.default_rng(0)
  for place in rng.integers(0, len(whole), 60):
    file.write_bytes(hostile.flipped(whole, int(place), int(rng.integers(8))))
    with pytest.raises(BadInput):
      images.read(file)


@pytest.mark.parametrize('name', GOOD)
@QUICK
@given(
  changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
  cut=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_whatever_is_changed_there_is_an_image_or_one_line(tmp_path_factory, name, changes, cut):
  data = bytearray(GOOD[name])
  for place, value in changes:
    data[int(place * (len(data) - 1))] = value
  file = tmp_path_factory.getbasetemp() / f'changed_{name}'
  file.write_bytes(data[: max(1, int(cut * len(data)))])
  try:
    found = images.read(file)
  except BadInput as error:
    assert str(error).startswith(str(file)) and '\n' not in str(error)
  else:
    assert found.ndim == 3 and found.dtype in (np.uint8, np.uint16) and found.size
