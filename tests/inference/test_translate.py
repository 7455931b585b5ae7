"""A folder of images in, translated images out."""

import logging

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from PIL import Image

import i2i_jax
from i2i_jax import train, translate
from i2i_jax.data import images
from i2i_jax.errors import BadInput
from i2i_jax.inference import predictor
from i2i_jax.methods import base
from i2i_jax.runs import checkpoint
from i2i_jax.runtime import mesh
from tests.small import whole_state


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
  assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == ['a.jpg.png', 'a.png.png', 'c.png', 'translate.json']
  said = capsys.readouterr()
  assert 'broken.png' in said.err and 'the net sees images at 24x16' in said.out
  with pytest.raises(BadInput, match='is there already'):
    translate.translate(run, folder, tmp_path / 'out')
  assert translate.translate(run, folder, tmp_path / 'out', overwrite=True) == 1


def test_outputs_are_the_nets(run, folder, tmp_path):
  translate.translate(run, folder / 'c.bmp', tmp_path / 'out', size='train')
  shardings = mesh.make('data=1')
  loaded = checkpoint.load(run, shardings)
  a = images.to_float(images.resize(images.read(folder / 'c.bmp'), (16, 24)))
  fake_b = predictor.Program(loaded.method.translators['ab'], shardings, 0, batch=1)(loaded.state, a[None])[0]
  np.testing.assert_array_equal(images.read(tmp_path / 'out' / 'c.png'), images.to_uint8(fake_b))


@pytest.mark.parametrize('size', ['input', 'full'])
def test_an_output_has_the_size_of_its_input(run, folder, tmp_path, size):
  translate.translate(run, folder, tmp_path / 'out', size=size)
  for name, shape in (('a.jpg.png', (21, 33, 3)), ('a.png.png', (8, 8, 3)), ('c.png', (40, 7, 3))):
    assert images.read(tmp_path / 'out' / name).shape == shape


@pytest.mark.parametrize('fit', ['stretch', 'cover'])
def test_the_net_sees_a_picture_as_in_training_and_its_output_is_brought_back(run, fit):
  """With `cover` it sees the whole picture in its own shape, not stretched, not cut."""
  trained = i2i_jax.load(run)
  with trained.run.config.unlocked():
    trained.run.config.data.fit = fit
  picture = np.random.default_rng(1).integers(0, 256, (40, 90, 3), np.uint8)
  (output,) = trained.translate([picture])
  height, width = {'stretch': (16, 24), 'cover': (16, 36)}[fit]  # to cover 16x24, 90x40 becomes 36x16
  seen = images.resize(picture, (height, width))
  seen = np.pad(seen, ((0, 0), (0, -width % 8), (0, 0)), 'reflect')
  fake = trained.predict(images.to_float(seen)[None])[0, :height, :width]
  np.testing.assert_array_equal(output, images.resize(images.to_uint8(fake), (40, 90)))
  assert trained.translate([picture], size='train')[0].shape == (16, 24, 3)


@pytest.mark.parametrize('ema', [0.0, 0.9])
def test_what_translates_is_read_and_nothing_else(tiny, tmp_path, ema):
  with tiny.unlocked():
    tiny.update({'steps': 2, 'ema': ema})
  train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  state, whole = i2i_jax.load(tmp_path / 'run').run.state, whole_state(tmp_path / 'run')
  assert state.opt == {} and set(state.params) == (set() if ema else {'gen'})
  assert set(state.extra) == {'batch_stats', 'ema'} if ema else {'batch_stats'}
  used = base.translating(state)
  jax.tree.map(np.testing.assert_array_equal, used, whole.extra['ema'] if ema else whole.params['gen'])
  weights = checkpoint.load(tmp_path / 'run', mesh.make('data=1')).state
  jax.tree.map(np.testing.assert_array_equal, weights.params, whole.params)


def test_large_arrays_are_read_first_and_few_at_a_time(run, monkeypatch):
  asked, restore = [], checkpoint.restore_state

  def noting(checkpoints, step, target):
    asked.append([x.size for x in jax.tree.leaves(target) if x is not ocp.PLACEHOLDER])
    return restore(checkpoints, step, target)

  monkeypatch.setattr(checkpoint, 'restore_state', noting)
  monkeypatch.setattr(checkpoint, 'READ_BYTES', 2000)
  state = i2i_jax.load(run).run.state
  assert len(asked) > 3 and sum(map(len, asked)) == len(jax.tree.leaves(state))
  assert all(len(sizes) == 1 or 4 * sum(sizes) <= 2000 for sizes in asked)
  assert [max(sizes) for sizes in asked] == sorted((max(sizes) for sizes in asked), reverse=True)


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


def test_one_array_is_not_taken_for_a_list(finished):
  with pytest.raises(BadInput, match='put it into a list'):
    i2i_jax.load(finished).translate(np.zeros((16, 24, 3), np.uint8))


def test_reading_a_run_leaves_the_log_as_quiet_as_it_was(finished):
  logger = logging.getLogger('absl')
  before = logger.level
  try:
    logger.setLevel(logging.CRITICAL)
    i2i_jax.load(finished)
    assert logger.level == logging.CRITICAL
  finally:
    logger.setLevel(before)
