"""A folder of images in, translated images out."""

import numpy as np
import pytest
from PIL import Image

from i2i_jax import train, translate
from i2i_jax.data import images
from i2i_jax.errors import BadInput
from i2i_jax.inference import predictor
from i2i_jax.runs import checkpoint
from i2i_jax.runtime import mesh


@pytest.fixture
def run(tiny, tmp_path):
  train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  return tmp_path / 'run'


@pytest.fixture
def folder(tmp_path):
  """Three images of other sizes and kinds, one that is broken, one file that is no image."""
  rng = np.random.default_rng(0)
  folder = tmp_path / 'in'
  folder.mkdir()
  Image.fromarray(rng.integers(0, 256, (21, 33, 3), np.uint8)).save(folder / 'a.jpg')
  Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(folder / 'a.png')
  Image.fromarray(rng.integers(0, 256, (40, 7, 3), np.uint8)).save(folder / 'c.bmp')
  (folder / 'broken.png').write_bytes(b'\x89PNG no')
  (folder / 'notes.txt').write_text('not an image')
  return folder


def test_good_files_are_written_and_bad_ones_named(run, folder, tmp_path, capsys):
  assert translate.translate(run, folder, tmp_path / 'out') == 1
  assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == ['a.jpg.png', 'a.png.png', 'c.png']
  assert images.read(tmp_path / 'out' / 'c.png').shape == (16, 24, 3)
  assert 'broken.png' in capsys.readouterr().err
  with pytest.raises(BadInput, match='is there already'):
    translate.translate(run, folder, tmp_path / 'out')
  assert translate.translate(run, folder, tmp_path / 'out', overwrite=True) == 1


def test_outputs_are_the_nets(run, folder, tmp_path):
  translate.translate(run, folder / 'c.bmp', tmp_path / 'out')
  shardings = mesh.make('data=1')
  loaded = checkpoint.load(run, shardings)
  a = images.to_float(images.resize(images.read(folder / 'c.bmp'), (16, 24)))
  fake_b = predictor.Program(loaded.method.translators['ab'], shardings, 0, batch=1)(loaded.state, a[None])[0]
  np.testing.assert_array_equal(images.read(tmp_path / 'out' / 'c.png'), images.to_uint8(fake_b))


def test_own_size_is_kept(run, folder, tmp_path):
  translate.translate(run, folder, tmp_path / 'out', size='own')
  for name, shape in (('a.jpg.png', (21, 33, 3)), ('a.png.png', (8, 8, 3)), ('c.png', (40, 7, 3))):
    assert images.read(tmp_path / 'out' / name).shape == shape


@pytest.mark.parametrize('shape', [(5, 9), (1, 1), (8, 3), (16, 16)])
def test_padding_reflects_as_far_as_it_can(shape):
  image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
  out = predictor.padded(image, 8)
  assert out.shape[0] % 8 == out.shape[1] % 8 == 0
  assert out.shape[0] - shape[0] < 8
  np.testing.assert_array_equal(out[: shape[0], : shape[1]], image)


def test_what_is_missing_is_said(run, tmp_path):
  with pytest.raises(BadInput, match='--input: there is no'):
    translate.translate(run, tmp_path / 'nowhere', tmp_path / 'out')
  (tmp_path / 'empty').mkdir()
  with pytest.raises(BadInput, match='holds no image'):
    translate.translate(run, tmp_path / 'empty', tmp_path / 'out')
  with pytest.raises(BadInput, match='holds no checkpoint'):
    translate.translate(tmp_path / 'empty', run / 'samples', tmp_path / 'out')
  assert not (tmp_path / 'out').exists()
