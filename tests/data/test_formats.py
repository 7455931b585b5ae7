"""What files hold, against the libraries that wrote them, and what we write, against those that read it."""

import io

import numpy as np
import png
import pytest
import tifffile
from PIL import Image, ImageOps

from i2i_jax.data import formats, images, strangers
from i2i_jax.errors import BadInput
from i2i_jax.evaluation.resize import bicubic


def noise(shape, dtype, seed=0):
  """All values that there are, or floats from -3 to 5."""
  rng, dtype = np.random.default_rng(seed), np.dtype(dtype)
  if dtype.kind == 'f':
    return rng.uniform(-3, 5, shape).astype(dtype)
  native = dtype.newbyteorder('=')
  return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, native, endpoint=True).astype(dtype)


# ------------------------------------------------------------------------------------------------------------ PNG
@pytest.mark.parametrize('interlace', [False, True])
@pytest.mark.parametrize('channels', [1, 2, 3, 4])
def test_16_bit_png_is_read_to_the_last_bit(tmp_path, channels, interlace):
  values, file = noise((7, 5, channels), np.uint16), tmp_path / 'x.png'
  layout = {'greyscale': channels < 3, 'alpha': channels in (2, 4), 'bitdepth': 16, 'interlace': interlace}
  with open(file, 'wb') as out:
    png.Writer(5, 7, **layout).write(out, values.reshape(7, -1).tolist())
  np.testing.assert_array_equal(images.read(file, channels, 16), values)
  colours = 1 if channels < 3 else 3
  share = values[..., colours:] / 65535 if channels in (2, 4) else np.ones((7, 5, 1))
  white = np.rint(share * values[..., :colours] + (1 - share) * 65535)
  found = images.read(file, colours, 16)
  assert found.dtype == np.uint16
  np.testing.assert_array_equal(found, white)
  assert np.abs(images.read(file, colours) - white / 257).max() <= 0.5 + 1e-9
  np.testing.assert_array_equal(images.read(file, channels, 32), values.astype(np.float32))  # the same numbers
  assert images.size(file) == (5, 7)


def test_a_16_bit_colour_that_is_transparent_becomes_white(tmp_path):
  values = noise((4, 6, 3), np.uint16)
  with open(tmp_path / 'x.png', 'wb') as out:
    key = tuple(map(int, values[2, 3]))
    png.Writer(6, 4, greyscale=False, bitdepth=16, transparent=key).write(out, values.reshape(4, -1).tolist())
  values[2, 3] = 65535
  np.testing.assert_array_equal(images.read(tmp_path / 'x.png', 3, 16), values)


@pytest.mark.parametrize('channels', [1, 3])
def test_16_bit_png_is_written_as_others_read_it(tmp_path, channels):
  values = noise((9, 6, channels), np.uint16)
  images.write(tmp_path / 'x.png', values)
  width, height, rows, about = png.Reader(bytes=(tmp_path / 'x.png').read_bytes()).read()
  assert (width, height, about['bitdepth'], about['planes']) == (6, 9, 16, channels)
  np.testing.assert_array_equal(np.array([list(row) for row in rows]).reshape(9, 6, channels), values)
  np.testing.assert_array_equal(images.read(tmp_path / 'x.png', channels, 16), values)
  if channels == 1:
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'x.png')), values[..., 0])
  assert [p.name for p in tmp_path.iterdir()] == ['x.png']


# ----------------------------------------------------------------------------------------------------------- TIFF
TIFFS = [
  ((6, 8), np.uint8, {}),
  ((6, 8), np.uint16, {}),
  ((6, 8), np.uint16, {'byteorder': '>'}),
  ((6, 8), np.uint16, {'compression': 'zlib', 'predictor': True}),
  ((6, 8), np.float32, {}),
  ((6, 8), np.float64, {}),
  ((6, 8), np.int16, {}),
  ((6, 8, 3), np.uint8, {'photometric': 'rgb'}),
  ((6, 8, 3), np.uint16, {'photometric': 'rgb'}),
  ((6, 8, 3), np.uint16, {'photometric': 'rgb', 'byteorder': '>'}),
  ((6, 8, 3), np.uint16, {'photometric': 'rgb', 'compression': 'zlib', 'predictor': True}),
  ((6, 8, 3), np.uint16, {'photometric': 'rgb', 'tile': (16, 16)}),
  ((3, 6, 8), np.uint16, {'photometric': 'rgb', 'planarconfig': 'separate'}),
  ((3, 6, 8), np.uint8, {'photometric': 'rgb', 'planarconfig': 'separate'}),
  ((6, 8, 3), np.float32, {'photometric': 'rgb'}),
  ((6, 8, 4), np.uint16, {'photometric': 'rgb', 'extrasamples': ['unassalpha']}),
  ((6, 8, 4), np.uint8, {'photometric': 'rgb', 'extrasamples': ['unspecified']}),
  ((6, 8, 5), np.uint8, {'photometric': 'rgb', 'extrasamples': ['unspecified'] * 2}),
  ((6, 8, 2), np.uint8, {'photometric': 'minisblack', 'planarconfig': 'contig'}),
  ((6, 8, 5), np.uint16, {'photometric': 'minisblack', 'planarconfig': 'contig'}),
  ((6, 8, 5), np.uint16, {'photometric': 'minisblack', 'planarconfig': 'contig', 'compression': 'zlib'}),
  ((5, 6, 8), np.uint16, {'photometric': 'minisblack', 'planarconfig': 'separate'}),
  ((5, 6, 8), np.uint16, {'photometric': 'minisblack', 'imagej': True, 'metadata': {'axes': 'CYX'}}),
  ((6, 8, 7), np.float32, {'photometric': 'minisblack', 'planarconfig': 'contig'}),
]


@pytest.mark.parametrize(('shape', 'dtype', 'layout'), TIFFS)
def test_tiff_is_read_to_the_last_bit(tmp_path, shape, dtype, layout):
  values, file = noise(shape, dtype), tmp_path / 'x.tif'
  tifffile.imwrite(file, values, **layout)
  if len(shape) == 2:
    values = values[..., None]
  elif shape[1:] == (6, 8):
    values = np.moveaxis(values, 0, -1)
  depth = {np.uint8: 8, np.uint16: 16}.get(dtype, 32)
  found = images.read(file, values.shape[-1], depth)
  assert found.dtype == images.DTYPES[depth]
  np.testing.assert_array_equal(found, values.astype(found.dtype))
  assert images.size(file) == (8, 6)


def test_of_a_tiff_with_a_thumbnail_the_picture_is_read(tmp_path):
  values = noise((16, 24, 3), np.uint16)
  with tifffile.TiffWriter(tmp_path / 'x.tif') as file:
    file.write(values[::7, ::7], photometric='rgb', subfiletype=1)
    file.write(values, photometric='rgb')
  np.testing.assert_array_equal(images.read(tmp_path / 'x.tif', 3, 16), values)
  assert images.size(tmp_path / 'x.tif') == (24, 16)


def test_of_a_series_of_files_one_is_one_picture(tmp_path):
  """An OME file names those that belong to it, and tifffile would read them all."""
  planes = [f'<TiffData FirstC="{i}" PlaneCount="1"><UUID FileName="{i}.ome.tif">urn:uuid:{i}</UUID></TiffData>'
            for i in range(2)]  # fmt: skip
  for i in range(2):
    about = (
      f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{i}">'
      '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="8" SizeY="6" SizeC="2" '
      f'SizeZ="1" SizeT="1">{"".join(planes)}</Pixels></Image></OME>'
    )
    values = noise((6, 8), np.uint16, i)
    tifffile.imwrite(tmp_path / f'{i}.ome.tif', values, description=about, metadata=None, photometric='minisblack')
  assert tifffile.imread(tmp_path / '1.ome.tif').shape == (2, 6, 8)
  np.testing.assert_array_equal(images.read(tmp_path / '1.ome.tif', 1, 16)[..., 0], values)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_where_zero_is_white_it_becomes_so(tmp_path, dtype):
  values = noise((6, 8), dtype)
  tifffile.imwrite(tmp_path / 'x.tif', values, photometric='miniswhite')
  depth = 8 * np.dtype(dtype).itemsize
  np.testing.assert_array_equal(images.read(tmp_path / 'x.tif', 1, depth)[..., 0], np.iinfo(dtype).max - values)


@pytest.mark.parametrize('turn', range(1, 9))
@pytest.mark.parametrize('channels', [3, 5])
def test_tiff_is_turned_as_it_says(tmp_path, turn, channels):
  values, file = noise((6, 8, channels), np.uint8), tmp_path / 'x.tif'
  photometric = 'rgb' if channels == 3 else 'minisblack'
  tag = (274, 'H', 1, turn, True)
  tifffile.imwrite(file, values, photometric=photometric, planarconfig='contig', metadata=None, extratags=[tag])
  planes = []
  for plane in np.moveaxis(values, -1, 0):
    image = Image.fromarray(plane)
    image.getexif()[274] = turn
    planes.append(np.asarray(ImageOps.exif_transpose(image)))
  np.testing.assert_array_equal(images.read(file, channels), np.stack(planes, -1))
  assert images.size(file) == planes[0].shape[::-1]


@pytest.mark.parametrize(
  ('shape', 'dtype'),
  [((6, 8, 1), np.float32), ((6, 8, 3), np.float32), ((6, 8, 5), np.uint16), ((6, 8, 4), np.uint8)],
)
def test_tiff_is_written_as_others_read_it(tmp_path, shape, dtype):
  values = noise(shape, dtype)
  images.write(tmp_path / 'x.tif', values)
  found = tifffile.imread(tmp_path / 'x.tif')
  assert found.dtype == dtype
  np.testing.assert_array_equal(found.reshape(shape), values)
  depth = {np.uint8: 8, np.uint16: 16}.get(dtype, 32)
  np.testing.assert_array_equal(images.read(tmp_path / 'x.tif', shape[-1], depth), values)
  if shape[-1] == 1:
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'x.tif')), values[..., 0])


# ---------------------------------------------------------------------------------------------------------- NumPy
@pytest.mark.parametrize('shape', [(6, 8), (6, 8, 1), (6, 8, 3), (6, 8, 5)])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, '>u2', np.float32, np.float64, np.int32])
def test_arrays_are_read_as_their_depth_says(tmp_path, shape, dtype):
  small = np.dtype(dtype) != np.int32
  values, channels = noise(shape, dtype) if small else noise(shape, np.int16).astype(dtype), (*shape, 1)[2]
  np.save(tmp_path / 'x.npy', np.asfortranarray(values))
  numbers = images.read(tmp_path / 'x.npy', channels, 32)
  np.testing.assert_array_equal(numbers, values.reshape(6, 8, channels).astype(np.float32))
  assert images.size(tmp_path / 'x.npy') == (8, 6)
  bits = {1: 8, 2: 16}.get(np.dtype(dtype).itemsize)
  for depth in (8, 16):
    if bits:
      found = images.read(tmp_path / 'x.npy', channels, depth)
      top = {8: 255, 16: 65535}
      assert found.dtype == images.DTYPES[depth]
      expected = values.reshape(6, 8, channels) / top[bits] * top[depth]
      assert np.abs(found - expected).max() <= (0.5 + 1e-9 if depth < bits else 1e-9)
    else:
      with pytest.raises(BadInput, match='no fixed range'):
        images.read(tmp_path / 'x.npy', channels, depth)
  images.write(tmp_path / 'y.npy', numbers)
  np.testing.assert_array_equal(np.load(tmp_path / 'y.npy'), numbers)


# -------------------------------------------------------------------------------------------------- what is refused
def stack(path):
  tifffile.imwrite(path, np.zeros((5, 6, 8), np.uint16), photometric='minisblack')


def pages(path):
  with tifffile.TiffWriter(path) as file:
    for side in (16, 9):
      file.write(np.zeros((side, 16), np.uint8), photometric='minisblack')


def torn(path):
  tifffile.imwrite(path, noise((64, 64, 5), np.uint16), photometric='minisblack', planarconfig='contig')
  path.write_bytes(path.read_bytes()[:9000])


def torn_array(path):
  np.save(path, np.zeros((64, 64), np.uint16))
  path.write_bytes(path.read_bytes()[:900])


def archive(path):
  with open(path, 'wb') as file:
    np.savez(file, a=np.zeros((6, 8)))


def tiff_of(shape, dtype=np.uint16, **layout):
  return lambda path: tifffile.imwrite(path, np.ones(shape, dtype), **layout)


def array_of(array):
  return lambda path: np.save(path, array, allow_pickle=True)


LAB = {'photometric': 'cielab', 'planarconfig': 'contig'}
RGBX = {'photometric': 'rgb', 'extrasamples': ['unspecified']}
PREMULTIPLIED = {'photometric': 'rgb', 'extrasamples': ['assocalpha']}
FIVE = {'photometric': 'minisblack', 'planarconfig': 'contig'}


@pytest.mark.parametrize(
  ('name', 'make', 'wanted', 'words'),
  [
    ('x.tif', stack, (5, 16), r'x\.tif: a stack \[5, 6, 8\] of pictures .*separate'),
    ('x.tif', pages, (1, 8), 'holds 2 pictures'),
    ('x.tif', torn, (5, 16), r'x\.tif: cannot be read as an image'),
    ('x.tif', tiff_of((6, 8, 5), **FIVE), (3, 16), '5 channels, where config.data.channels_a or _b wants 3'),
    ('x.tif', tiff_of((6, 8, 4), np.uint8, **RGBX), (3, 8), '4 channels, where'),
    ('x.tif', tiff_of((6, 8, 4), **RGBX), (3, 16), '4 channels, where'),
    ('x.tif', tiff_of((6, 8, 4), **PREMULTIPLIED), (3, 16), 'multiplied by'),
    ('x.tif', tiff_of((6, 8, 3), **LAB), (3, 16), 'save it as RGB or gray'),
    ('x.tif', tiff_of((6, 8), np.float32), (1, 8), 'floating-point values .*config.data.depth_a or _b to 32'),
    ('x.tif', tiff_of((6, 8), np.float32), (1, 16), 'floating-point values'),
    ('x.tif', tiff_of((6, 8), np.int16), (1, 16), 'whole numbers of int16 have no fixed range'),
    ('x.tif', tiff_of((6, 8), np.uint32), (1, 8), 'whole numbers of uint32 have no fixed range'),
    ('x.tif', tiff_of((6, 8, 4), np.float32, photometric='rgb', extrasamples=['unassalpha']), (3, 32), 'no white'),
    ('x.npy', torn_array, (1, 16), r'x\.npy: cannot be read as an image'),
    ('x.npy', array_of(np.zeros((3, 6, 8), np.uint8)), (3, 8), r'8 channels, .* wants 3; .* may be \[C, H, W\]'),
    ('x.npy', array_of(np.zeros(8, np.uint8)), (1, 8), r'an array \[8\]; an image is'),
    ('x.npy', array_of(np.zeros((1, 2, 6, 8), np.uint8)), (1, 8), 'an image is'),
    ('x.npy', array_of(np.zeros((6, 8), complex)), (1, 32), 'an array of complex128'),
    ('x.npy', array_of(np.zeros((6, 8), bool)), (1, 8), 'an array of bool'),
    ('x.npy', array_of(np.array([[{}]])), (1, 8), 'an array of object'),
    ('x.npy', array_of(np.full((6, 8), np.nan)), (1, 32), r'x\.npy: holds values that are not finite'),
    ('x.npy', array_of(np.full((6, 8), 1e300)), (1, 32), 'not finite'),
    ('x.npy', array_of(np.full((6, 8), 2**24 + 1)), (1, 32), 'floats of 32 bits do not'),
    ('x.npy', archive, (1, 32), 'not an image in a known format'),
  ],
)
def test_what_cannot_be_read_right_is_refused(tmp_path, name, make, wanted, words):
  make(tmp_path / name)
  with pytest.raises(BadInput, match=words) as refused:
    images.read(tmp_path / name, *wanted)
  assert str(tmp_path / name) in str(refused.value) and '\n' not in str(refused.value)


def test_what_would_fill_the_memory_is_refused_by_its_header(tmp_path, monkeypatch):
  np.save(tmp_path / 'x.npy', np.zeros((60, 80), np.float32))
  tifffile.imwrite(tmp_path / 'x.tif', np.zeros((60, 80, 5), np.uint8), **FIVE)
  monkeypatch.setattr(strangers, 'most_bytes', lambda: 60 * 80 * 4 - 1)
  for name in ('x.npy', 'x.tif'):
    for look in (images.read, images.size):
      with pytest.raises(BadInput, match='bytes'):
        look(tmp_path / name)


# ------------------------------------------------------------------------------------------------- as Pillow has it
def test_white_shines_through_as_pillow_composites():
  """All colours under all transparencies."""
  values, alpha = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
  image = Image.fromarray(np.stack([values, values, values, alpha], -1))
  white = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image)
  np.testing.assert_array_equal(images.on_white(np.asarray(image), None), np.asarray(white)[..., :3])


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'CMYK'])
@pytest.mark.parametrize('channels', [1, 3])
def test_8_bits_are_what_pillow_makes_of_them(tmp_path, mode, channels):
  image = Image.fromarray(noise((16, 24, 4), np.uint8))
  image = image.convert('RGB').quantize(200) if mode == 'P' else image.convert(mode)
  name = 'x.tif' if mode == 'CMYK' else 'x.png'
  image.save(tmp_path / name)
  with Image.open(tmp_path / name) as opened:
    if opened.has_transparency_data:
      opened = Image.alpha_composite(Image.new('RGBA', opened.size, 'white'), opened.convert('RGBA'))
    expected = np.asarray(opened.convert({1: 'L', 3: 'RGB'}[channels])).reshape(16, 24, channels)
  np.testing.assert_array_equal(images.read(tmp_path / name, channels), expected)


def test_transparency_can_be_a_channel(tmp_path):
  values = noise((6, 8, 4), np.uint8)
  Image.fromarray(values).save(tmp_path / 'x.png')
  np.testing.assert_array_equal(images.read(tmp_path / 'x.png', 4), values)
  Image.fromarray(values[..., 0]).save(tmp_path / 'gray.png', transparency=int(values[2, 3, 0]))
  opaque = values[..., 0] != values[2, 3, 0]
  np.testing.assert_array_equal(images.read(tmp_path / 'gray.png', 2)[..., 1], np.where(opaque, 255, 0))


@pytest.mark.parametrize('dtype', [np.uint16, np.float32])
@pytest.mark.parametrize('size', [(5, 7), (31, 40)])
def test_deeper_images_are_resized_as_pillow_resizes_floats(dtype, size):
  """And as the matrices of evaluation/resize.py do, which know nothing of Pillow."""
  image = noise((16, 24, 5), dtype)
  found = images.resize(image, size)
  assert found.dtype == dtype and found.shape == (*size, 5)
  rows, columns = bicubic(16, size[0]), bicubic(24, size[1])
  for plane in range(5):
    floats = Image.fromarray(image[..., plane].astype(np.float32)).resize(size[::-1], Image.Resampling.BICUBIC)
    ours = rows @ (image[..., plane].astype(np.float64) @ columns.T)
    if dtype == np.uint16:
      assert ours.min() < 0 or ours.max() > 65535 or size == (5, 7)  # it overshoots, and is clipped
      np.testing.assert_array_equal(found[..., plane], np.rint(np.clip(np.asarray(floats), 0, 65535)))
      assert np.abs(found[..., plane] - np.clip(ours, 0, 65535)).max() < 0.52
    else:
      np.testing.assert_array_equal(found[..., plane], np.asarray(floats))
      np.testing.assert_allclose(found[..., plane], ours, atol=1e-5)


# ------------------------------------------------------------------------------------------------------- conversions
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_there_and_back_is_exact(dtype):
  every = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
  floats = images.to_float(every)
  assert floats.dtype == np.float32 and (floats[0], floats[-1]) == (-1, 1) and (np.diff(floats) > 0).all()
  np.testing.assert_allclose(floats, every / np.iinfo(dtype).max * 2.0 - 1, atol=2e-7)
  np.testing.assert_array_equal(images.from_float(floats, 8 * every.itemsize), every)


def test_floats_are_mapped_by_their_range_and_clipped():
  span = (-1000.0, 3000.0)
  values = np.array([-1000, 0, 1000, 3000, -1500, 9000], np.float32)
  floats = images.to_float(values, span)
  np.testing.assert_allclose(floats, [-1, -0.5, 0, 1, -1, 1])
  back = images.from_float(np.array([-1, -0.5, 0, 1, -1.5, 2]), 32, span)
  assert back.dtype == np.float32
  np.testing.assert_allclose(back, [-1000, 0, 1000, 3000, -1000, 3000])
  assert images.from_float(np.array([-2.0, 0.0, 2.0]), 16).tolist() == [0, 32768, 65535]


def test_gray_of_16_bits_and_of_floats_is_the_luma():
  weights = np.array([0.299, 0.587, 0.114])
  for dtype, error in ((np.uint16, 1), (np.float32, 1e-6)):
    image = noise((6, 8, 3), dtype)
    gray = images.recolour(image, 1)
    assert gray.dtype == dtype and np.abs(gray[..., 0] - image @ weights).max() <= error
    np.testing.assert_array_equal(images.recolour(gray, 3), gray.repeat(3, -1))


def test_a_picture_of_any_channels_can_be_drawn(tmp_path):
  for channels, shown in ((1, 1), (2, 1), (3, 3), (5, 3)):
    image = np.linspace(-1, 1, 6 * 8 * channels).reshape(6, 8, channels)
    found = images.drawn(image)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.rint((image[..., :shown] + 1) * 127.5))
  with pytest.raises(BadInput, match='5 channels cannot be written as PNG'):
    images.write(tmp_path / 'x.png', np.zeros((6, 8, 5), np.uint8))
  file = io.BytesIO(formats.as_png(np.zeros((6, 8, 3), np.uint8)))
  assert Image.open(file).mode == 'RGB'
