"""Pairs that are made of pictures alone: what each degradation does, and when it draws anew."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from i2i_jax import data, fields, train
from i2i_jax.data import degrade, images
from i2i_jax.errors import BadInput
from i2i_jax.evaluation import scoring


def rng(seed=0):
  return np.random.default_rng(seed)


def picture(channels=3, size=(48, 64), seed=0):
  """Smooth, with some detail."""
  coarse = rng(seed).integers(40, 216, (6, 8, channels), np.uint8)
  return images.resize(coarse, size)


@pytest.mark.parametrize('channels', [1, 3, 5])
@pytest.mark.parametrize('spec', ['superres(4)', 'noise(25)', 'jpeg(10)', 'blur(2)', 'inpaint(0.25)'])
def test_a_picture_keeps_its_shape_and_loses(spec, channels):
  image = picture(channels)
  changed = degrade.parse(spec)(image, rng())
  assert changed.shape == image.shape and changed.dtype == np.uint8
  assert not np.array_equal(changed, image)


def test_superres_keeps_what_a_smaller_picture_can_show():
  x = np.arange(64)
  waves = {period: 128 + 100 * np.cos(2 * np.pi * x / period) for period in (4, 32)}
  found = {}
  for period, wave in waves.items():
    image = np.broadcast_to(wave[None, :, None], (64, 64, 3)).round().astype(np.uint8)
    out = degrade.parse('superres(4)')(image, rng()).astype(float)
    found[period] = out[16:48, 16:48].std() / image[16:48, 16:48].std()
  assert found[4] < 0.1 and found[32] > 0.9
  flat = np.full((48, 64, 3), 77, np.uint8)
  np.testing.assert_array_equal(degrade.parse('superres(3)')(flat, rng()), flat)


def test_gray_is_the_luma_in_each_channel():
  image = picture()
  out = degrade.parse('gray')(image, rng())
  luma = image @ np.array([0.299, 0.587, 0.114])
  assert np.abs(out - luma[..., None]).max() <= 1
  with pytest.raises(BadInput, match='3 channels, not 1'):
    degrade.parse('gray')(picture(1), rng())


def test_noise_has_the_deviation_that_was_asked_for():
  flat = np.full((200, 200, 3), 128, np.uint8)
  out = degrade.parse('noise(25)')(flat, rng()).astype(float) - 128
  assert abs(out.mean()) < 0.5 and 24.5 < out.std() < 25.5
  assert abs(np.corrcoef(out[..., 0].ravel(), out[..., 1].ravel())[0, 1]) < 0.02


def test_jpeg_is_what_a_file_of_that_quality_holds():
  image, file = picture(), io.BytesIO()
  Image.fromarray(image).save(file, 'JPEG', quality=30)
  np.testing.assert_array_equal(degrade.parse('jpeg(30)')(image, rng()), np.asarray(Image.open(file)))


def test_blur_is_gaussian():
  image = picture(seed=1)
  expected = ndimage.gaussian_filter(image.astype(float), (2, 2, 0), mode='nearest')
  assert np.abs(degrade.parse('blur(2)')(image, rng()) - expected).max() < 4  # Pillow's is three box blurs


def test_inpaint_takes_one_rectangle_of_that_share_somewhere():
  places = set()
  for seed in range(8):
    image = picture(seed=seed) // 2  # no value is the hole's 128
    hole = (degrade.parse('inpaint(0.25)')(image, rng(seed)) != image).any(-1)
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    assert hole.sum() == len(rows) * len(columns) == 24 * 32
    assert hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    places.add((rows[0], columns[0]))
  assert len(places) > 4


def test_several_are_done_in_order():
  gray_first, gray_last = (degrade.parse(spec)(picture(), rng()) for spec in ('gray; noise(25)', 'noise(25);gray'))
  assert np.ptp(gray_last, axis=-1).max() == 0 < np.ptp(gray_first, axis=-1).max()
  assert degrade.parse(' ') is None


def test_an_empty_list_is_none(tiny):
  with tiny.unlocked():
    tiny.data.degrade = ' ; '
  batch = next(data.train_iterator(data.get(tiny, 'train'), tiny))
  assert not np.array_equal(batch['a'], batch['b'])


@pytest.mark.parametrize(
  ('spec', 'message'),
  [
    ('superes(4)', "did you mean 'superres'"),
    ('superres(0.5)', 'factor must be from 1 to 64'),
    ('jpeg(ten)', 'jpeg takes one number'),
    ('jpeg(10', 'jpeg takes one number'),
    ('jpeg(10)0', 'jpeg takes one number'),
    ('blur(nan)', 'radius must be from 0 to 100'),
    ('gray(1)', 'gray takes no number'),
    ('inpaint(25)', 'share must be from 0 to 1'),
  ],
)
def test_what_is_wrong_is_said(spec, message):
  with pytest.raises(BadInput, match='degrade') as error:
    degrade.parse(spec)
  assert message in str(error.value)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'paired': False}, 'learns from pairs'),
    ({'wrong_pairs': 0.5}, 'config.data.wrong_pairs'),
    ({'channels_a': 1}, 'config.data.channels_a = 1'),
    ({'channels_a': 1, 'channels_b': 1, 'degrade': 'gray'}, 'takes pictures of 3 channels, not 1'),
  ],
)
def test_what_it_does_not_go_with_is_refused(tiny, changes, message):
  with tiny.unlocked():
    tiny.data.update({'degrade': 'blur(2)', **changes})
  with pytest.raises(BadInput, match=message):
    data.get(tiny, 'train')


def test_training_draws_anew_and_evaluation_does_not(tiny):
  with tiny.unlocked():
    tiny.data.update({'degrade': 'noise(25)', 'load_size': (16, 24), 'flip': False})
  batches = data.train_iterator(data.get(tiny, 'train'), tiny)
  seen = {}
  for _ in range(4):  # two epochs of 16
    batch = next(batches)
    for a, b in zip(batch['a'], batch['b'], strict=True):
      seen.setdefault(b.tobytes(), []).append(a)
  assert len(seen) == 16
  assert all(len(inputs) == 2 and not np.array_equal(*inputs) for inputs in seen.values())

  once, again = (next(data.eval_batches(data.get(tiny, 'test'), tiny, 4)) for _ in range(2))
  np.testing.assert_array_equal(once['a'], again['a'])
  noise = (once['a'] - once['b']) * 127.5
  assert not np.array_equal(noise[0], noise[1])  # each image has its own
  source = data.get(tiny, 'test')
  np.testing.assert_array_equal(once['b'][1], images.to_float(images.resize(source[1]['b'], (16, 24))))


def test_an_epoch_that_is_interrupted_goes_on_with_the_same_draws(tiny):
  with tiny.unlocked():
    tiny.data.degrade = 'noise(25); inpaint(0.2)'
  straight = data.train_iterator(data.get(tiny, 'train'), tiny)
  next(straight)
  state = straight.get_state()
  expected = next(straight)
  resumed = data.train_iterator(data.get(tiny, 'train'), tiny)
  resumed.set_state(state)
  np.testing.assert_array_equal(next(resumed)['a'], expected['a'])


# -------------------------------------------------------------------------------------------------------- folders
def folder_of(root, count):
  root.mkdir(parents=True)
  for i in range(count):
    images.write_png(root / f'{i}.png', picture(size=(30, 50), seed=i))
  return root


def config_of(root):
  config = fields.defaults()
  config.data.update({'name': 'folders', 'path': str(root), 'load_size': (32, 32), 'crop_size': (32, 32)})
  config.data.degrade = 'superres(4)'
  return config


def test_a_folder_of_pictures_is_split_by_names_and_each_is_whole(tmp_path):
  config = config_of(folder_of(tmp_path / 'photos', 60))
  sources = {split: data.get(config, split) for split in data.SPLITS}
  names = {split: {source[i]['name'] for i in range(len(source))} for split, source in sources.items()}
  assert set().union(*names.values()) == {str(i) for i in range(60)}
  assert sum(map(len, names.values())) == 60 and len(names['train']) > 40 and names['val'] and names['test']
  assert sources['train'][0]['b'].shape == (30, 50, 3)
  images.write_png(tmp_path / 'photos' / 'new.png', picture(size=(30, 50)))
  later = data.get(config, 'test')
  assert names['test'] <= {later[i]['name'] for i in range(len(later))}


def test_folders_of_their_own_are_taken_as_they_are(tmp_path):
  for split, count in (('train', 3), ('test', 2)):
    folder_of(tmp_path / split, count)
  config = config_of(tmp_path)
  assert [len(data.get(config, split)) for split in data.SPLITS] == [3, 2, 2]


def test_a_folder_without_pictures_says_what_was_expected(tmp_path):
  (tmp_path / 'empty').mkdir()
  with pytest.raises(BadInput, match="no images for 'train': expected pictures, or train/ with pictures"):
    data.get(config_of(tmp_path / 'empty'), 'train')


def test_it_trains_and_the_copy_is_bicubic(tiny, tmp_path):
  """The score of copying is that of enlarging by Pillow, worked out here."""
  with tiny.unlocked():
    tiny.data.update({'degrade': 'superres(4)', 'path': str(folder_of(tmp_path / 'photos', 40)), 'name': 'folders'})
    tiny.steps = 1
  train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  found = scoring.evaluate(tmp_path / 'run', 'test')['scores']
  source, expected = data.get(tiny, 'test'), []
  for i in range(len(source)):
    target = Image.fromarray(source[i]['b']).resize((24, 16), Image.Resampling.BICUBIC)
    small = target.resize((6, 4), Image.Resampling.BICUBIC).resize((24, 16), Image.Resampling.BICUBIC)
    error = np.square(np.asarray(small, float) - np.asarray(target, float)).mean()
    expected.append(10 * np.log10(255**2 / error))
  assert found['copy']['psnr'] == pytest.approx(np.mean(expected), abs=1e-3)
  batch = next(data.eval_batches(source, tiny, 1))  # and the page shows what the net saw
  shown = images.read(tmp_path / 'run' / 'eval_test' / f'{batch["name"][0]}_input.png')
  np.testing.assert_array_equal(shown, images.to_uint8(batch['a'][0]))
