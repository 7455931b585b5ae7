"""Real files in, trained nets' files out: sizes, depths and values; what is not RGB of 8 bits, and 640x427."""

import json

import numpy as np
import png
import pytest
import tifffile
from PIL import Image

import i2i_jax
from i2i_jax import train, translate
from i2i_jax.data import images
from i2i_jax.errors import BadInput
from i2i_jax.evaluation import scoring

SPAN = (-100.0, 300.0)


def smooth(seed, size, channels=1):
  """Floats from 0 to 1."""
  rng = np.random.default_rng([seed, channels])
  return images.resize(rng.uniform(0.2, 0.8, (4, 5, channels)).astype(np.float32), size).clip(0, 1)


def resized(image, size):
  """By Pillow, plane by plane, as floats."""
  planes = [Image.fromarray(image[..., c].astype(np.float32)) for c in range(image.shape[-1])]
  return np.stack([np.asarray(p.resize(size[::-1], Image.Resampling.BICUBIC)) for p in planes], -1)


def gray16(path, image):
  path = path.with_suffix('.png')
  Image.fromarray(np.rint(image[..., 0] * 65535).astype(np.uint16)).save(path)
  return path


def gray8(path, image):
  path = path.with_suffix('.png')
  Image.fromarray(np.rint(image[..., 0] * 255).astype(np.uint8)).save(path)
  return path


def five16(path, image):
  path = path.with_suffix('.tif')
  values = np.rint(image * 65535).astype(np.uint16)
  tifffile.imwrite(path, values, photometric='minisblack', planarconfig='contig')
  return path


def floats(path, image):
  path = path.with_suffix('.tif')
  tifffile.imwrite(path, (image[..., 0] * 400 - 100).astype(np.float32))
  return path


def rgb(path, image):
  path = path.with_suffix('.jpg')
  Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(path, quality=95)
  return path


def trained(config, root, a, b, size=(30, 40), count=8, **changes):
  """A run of two steps on pairs whose files `a` and `b`, (make, channels), write."""
  for split, n in (('train', count), ('test', 2)):
    for i in range(n):
      for side, (make, channels) in (('A', a), ('B', b)):
        folder = root / 'pairs' / f'{split}{side}'
        folder.mkdir(parents=True, exist_ok=True)
        # Pairs of two sizes, where not all are large.
        make(folder / f'{i}', smooth(i, size if i % 2 or size[0] > 400 else (size[0] + 7, size[1] - 5), channels))
  with config.unlocked():
    config.data.update({'name': 'folders', 'path': str(root / 'pairs'), 'channels_a': a[1], 'channels_b': b[1]})
    config.data.update(changes)
    config.update({'steps': 2, 'eval_every': 2, 'checkpoint_every': 2})
    config.test.dropout = False  # which is drawn for each file by its place
  assert train.train(config, root / 'run', mesh_spec='data=1') == 0
  grid = images.read(root / 'run' / 'samples' / 'step_00000002.png')
  assert grid.shape == (2 * 16 + 2, 3 * 24 + 4, 3)
  return root / 'run'


def expected(run, x, size):
  """What the net makes of an input [H, W, C] in [-1, 1], at the size of training: in [-1, 1], of a size."""
  seen = np.clip(x, -1, 1).astype(np.float32)
  return np.clip(resized(i2i_jax.load(run).predict(seen[None])[0], size), -1, 1)


def test_gray_of_16_bits_to_gray_of_16_bits(tiny, tmp_path):
  run = trained(tiny, tmp_path, (gray16, 1), (gray16, 1), depth_a=16, depth_b=16)
  image = smooth(9, (21, 33))
  file = gray16(tmp_path / 'x', image)
  assert translate.translate(run, file, tmp_path / 'out') == 0
  (out,) = (tmp_path / 'out').glob('x.*')
  found = Image.open(out)
  assert (out.name, found.size, found.mode) == ('x.png', (33, 21), 'I;16')
  values = np.asarray(found).astype(float)
  x = np.rint(resized(np.rint(image * 65535), (16, 24))) / 32767.5 - 1
  assert np.abs(values - (expected(run, x, (21, 33))[..., 0] + 1) * 32767.5).max() < 2
  assert len(np.unique(values)) > 300  # more than 8 bits have
  with pytest.raises(BadInput, match=r'a picture to translate is uint16 \[H, W, 1\], not uint8'):
    i2i_jax.load(run).translate([np.zeros((8, 8, 1), np.uint8)])


def test_five_channels_to_one(tiny, tmp_path):
  run = trained(tiny, tmp_path, (five16, 5), (gray8, 1), depth_a=16)
  image = smooth(9, (21, 33), 5)
  translate.translate(run, five16(tmp_path / 'x', image), tmp_path / 'out')
  found = Image.open(tmp_path / 'out' / 'x.png')
  assert (found.size, found.mode) == ((33, 21), 'L')
  x = np.rint(resized(np.rint(image * 65535), (16, 24))) / 32767.5 - 1
  assert np.abs(np.asarray(found) - (expected(run, x, (21, 33))[..., 0] + 1) * 127.5).max() < 2

  scores = scoring.evaluate(run)['scores']
  assert set(scores) == {'pix2pix', 'copy', 'constant', 'linear'} and scores['linear']['psnr'] > 10
  shown = images.read(run / 'eval_test' / '1_input.png')
  first = resized(np.rint(smooth(1, (30, 40), 5) * 65535), (16, 24))[..., :3]
  assert np.abs(shown - np.clip(first / 257, 0, 255)).max() < 0.51
  with pytest.raises(BadInput, match='5 channels, where'):
    images.read(tmp_path / 'x.tif', 1, 16)
  assert translate.translate(run, tmp_path / 'out', tmp_path / 'again') == 1  # gray is not five


def test_floats_to_floats(tiny, tmp_path, capsys):
  span = {'range_a': SPAN, 'range_b': (0.0, 10.0)}
  ten = lambda path, image: tifffile.imwrite(path.with_suffix('.tif'), image[..., 0] * 10)  # noqa: E731
  run = trained(tiny, tmp_path, (floats, 1), (ten, 1), depth_a=32, depth_b=32, **span)
  image, folder = smooth(9, (21, 33)), tmp_path / 'in'
  folder.mkdir()
  floats(folder / 'x', image)
  np.save(folder / 'y.npy', image.astype(np.float64) * 400 - 100)
  np.save(folder / 'wide.npy', image * 4000)
  assert translate.translate(run, folder, tmp_path / 'out') == 1
  assert 'wide.npy: values from' in capsys.readouterr().err
  found, same = tifffile.imread(tmp_path / 'out' / 'x.tif'), np.load(tmp_path / 'out' / 'y.npy')
  assert found.dtype == same.dtype == np.float32
  assert (found.shape, same.shape) == ((21, 33), (21, 33, 1))
  np.testing.assert_allclose(found, same[..., 0], atol=1e-4)
  assert found.min() >= 0 and found.max() <= 10
  x = resized(image, (16, 24)) * 2 - 1
  assert np.abs(found - (expected(run, x, (21, 33))[..., 0] + 1) * 5).max() < 1e-3
  assert {p.name for p in (tmp_path / 'out').iterdir()} == {'x.tif', 'y.npy', 'translate.json'}
  with pytest.raises(BadInput, match='is there already'):
    translate.translate(run, folder / 'x.tif', tmp_path / 'out')

  loaded, wide = i2i_jax.load(run), image * 4000 - 100
  with pytest.raises(BadInput, match=r'a picture to translate: values from .* outside of config\.data\.range_a'):
    loaded.translate([wide])
  config = json.loads((run / 'config.json').read_text())
  config['data']['clip'] = True
  (run / 'config.json').write_text(json.dumps(config))
  np.save(folder / 'wide.npy', wide)
  assert translate.translate(run, folder, tmp_path / 'out', overwrite=True) == 0
  assert 'range_a = (-100.0, 300.0), clipped: 1' in capsys.readouterr().out
  (clipped,) = loaded.translate([np.clip(wide, *SPAN)])
  np.testing.assert_allclose(np.load(tmp_path / 'out' / 'wide.npy'), clipped, atol=1e-4)


def test_pictures_of_640x427(tiny, tmp_path):
  """Trained at 24x16, which their shape is about; the net sees all of it, too, padded to a multiple of 8."""
  run = trained(tiny, tmp_path, (rgb, 3), (rgb, 3), (427, 640), load_size=(18, 27), fit='cover')
  file = rgb(tmp_path / 'x', smooth(9, (427, 640), 3))
  loaded, picture = i2i_jax.load(run, 2), np.asarray(Image.open(file))
  for size, seen in (('input', images.resize(picture, (16, 24))), ('full', picture)):
    assert translate.translate(run, file, tmp_path / size, size=size) == 0
    found = Image.open(tmp_path / size / 'x.png')
    assert (found.size, found.mode) == ((640, 427), 'RGB')
    padded = np.pad(seen, ((0, -seen.shape[0] % 8), (0, 0), (0, 0)), 'reflect')
    fake = loaded.predict((padded.astype(np.float32) / 127.5 - 1)[None])[0, : len(seen)]
    pixels = np.rint(np.clip((fake + 1) * 127.5, 0, 255)).astype(np.uint8)
    whole = np.asarray(Image.fromarray(pixels).resize((640, 427), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(np.asarray(found), whole)


def test_rgb_of_16_bits_comes_back_so(finished, tmp_path):
  """Without training: a run whose config says so."""
  loaded = i2i_jax.load(finished)
  with loaded.run.config.unlocked():
    loaded.run.config.data.update({'depth_a': 16, 'depth_b': 16})
  picture = np.rint(smooth(0, (20, 30), 3) * 65535).astype(np.uint16)
  (found,) = loaded.translate([picture], size='train')
  assert found.dtype == np.uint16 and found.shape == (16, 24, 3)
  fake = loaded.predict((np.rint(resized(picture, (16, 24))) / 32767.5 - 1).astype(np.float32)[None])[0]
  assert np.abs(found - (fake.astype(float) + 1) * 32767.5).max() < 2
  images.write(tmp_path / 'x.png', found)
  _, _, rows, _ = png.Reader(bytes=(tmp_path / 'x.png').read_bytes()).read()
  np.testing.assert_array_equal(np.array([list(row) for row in rows]).reshape(found.shape), found)


def test_enlarging_leaves_no_float_out_of_range(finished):
  """An output with an edge from end to end of its range, which bicubic enlarging overshoots."""
  edge = np.full((1, 16, 24, 3), -1, np.float32)
  edge[:, :, 12:] = 1
  loaded = i2i_jax.load(finished)._replace(functions={'ab': lambda state, x, first: edge})
  with loaded.run.config.unlocked():
    loaded.run.config.data.update({'depth_b': 32, 'range_b': SPAN})
  (found,) = loaded.translate([np.zeros((40, 60, 3), np.uint8)])
  assert (found.min(), found.max()) == SPAN and found.shape == (40, 60, 3)
  expected = np.clip(resized(edge[0], (40, 60)), -1, 1) * 200 + 100
  np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_way_back_has_the_depths_exchanged(finished):
  loaded = i2i_jax.load(finished)
  method = loaded.run.method
  both = method._replace(translators=dict.fromkeys(('ab', 'ba'), method.translators['ab']))
  loaded = loaded._replace(run=loaded.run._replace(method=both), functions={'ba': lambda state, x, first: x})
  with loaded.run.config.unlocked():
    loaded.run.config.data.update({'depth_a': 16, 'depth_b': 32, 'range_b': SPAN})
  picture = smooth(0, (16, 24), 3) * 400 - 100
  (found,) = loaded.translate([picture], direction='ba')
  assert found.dtype == np.uint16
  np.testing.assert_allclose(found, (picture + 100) / 400 * 65535, atol=0.6)
