"""Pictures that are unlike those a net learnt from are named, and those that are like them are not."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i_jax import data, train
from i2i_jax.config import load
from i2i_jax.data import images
from i2i_jax.evaluation import scoring
from i2i_jax.inference import unlike
from i2i_jax.pages import report
from i2i_jax.translate import translate


def inputs(task, split, count=400):
  """Inputs of 64 px as nets see them, and the blocks of the globe that they are of."""
  config = load([f'--config=pix2pix:task={task},size=64'])
  source = data.get(config, split)
  groups, places = data.groups(source), data.spread(len(source), count)
  found = np.concatenate([batch['a'] for batch in data.eval_batches(source, config, 16, limit=count)])
  return found, [groups[i] for i in places]


@pytest.fixture(scope='module')
def known():
  """Of the Earth's maps of elevation."""
  return unlike.learn(*inputs('relief', 'train', unlike.MOST))


def photos(count=40):
  """Crops of the colour photos that come with scikit-image."""
  from skimage import data as photos

  rng, found = np.random.default_rng(0), []
  kinds = [photos.astronaut(), photos.cat(), photos.coffee(), photos.rocket(), photos.hubble_deep_field()]
  for i in range(count):
    photo = kinds[i % len(kinds)]
    side = int(rng.integers(128, min(photo.shape[:2]) + 1))
    top, left = (int(rng.integers(n - side + 1)) for n in photo.shape[:2])
    found.append(images.resize(np.ascontiguousarray(photo[top : top + side, left : left + side]), (64, 64)))
  return images.to_float(np.stack(found))


def mosaic(x, side=8):
  """Each square of so many px has one colour."""
  small = x.reshape(len(x), 64 // side, side, 64 // side, side, 3).mean((2, 4))
  return small.repeat(side, 1).repeat(side, 2)


def test_other_pictures_are_named_and_land_never_seen_is_not(known):
  test, _ = inputs('relief', 'test')
  share = {'test': (unlike.scores(known, test) > 1).mean()}
  rng = np.random.default_rng(0)
  others = {
    'satellite': inputs('map', 'test', 40)[0],
    'photos': photos(),
    'inverted': -test[:40],
    'noise': rng.uniform(-1, 1, (40, 64, 64, 3)).astype(np.float32),
    'mosaic': mosaic(test[:40]),
    'fine mosaic': mosaic(test[:40], 4),
  }
  share |= {name: (unlike.scores(known, of) > 1).mean() for name, of in others.items()}
  print({name: round(float(value), 3) for name, value in share.items()})
  assert share.pop('test') <= 0.02
  assert min(share.values()) >= 0.95, share


def test_what_belongs_together_is_left_out_together():
  """Each picture eight times: left out alone, a copy that stays makes all look known, and the limit too low."""
  rng = np.random.default_rng(0)
  pictures = [images.resize(rng.integers(0, 256, (6, 6, 3), np.uint8), (32, 32)) for _ in range(40)]
  copies = images.to_float(np.stack(pictures * 8))
  together = unlike.learn(copies, [str(i % 40) for i in range(320)])
  assert unlike.learn(copies).limit < 0.5 * together.limit
  fresh = [images.resize(rng.integers(0, 256, (6, 6, 3), np.uint8), (32, 32)) for _ in range(40)]
  assert (unlike.scores(together, images.to_float(np.stack(fresh))) > 1).mean() <= 0.05


@pytest.mark.parametrize(('channels', 'size'), [(1, (40, 56)), (5, (300, 270))])
def test_any_channels_and_sizes(channels, size, tmp_path):
  rng = np.random.default_rng(0)

  def smooth(count):
    made = [images.resize(rng.integers(0, 256, (6, 6, channels), np.uint8), size) for _ in range(count)]
    return images.to_float(np.stack(made))

  known = unlike.learn(unlike.seen(smooth(60)))
  assert (unlike.scores(known, smooth(20)) > 1).mean() <= 0.1
  assert (unlike.scores(known, rng.uniform(-1, 1, (5, *size, channels)).astype(np.float32)) > 1).all()
  unlike.save(tmp_path / 'known.npz', known)
  again = unlike.load(tmp_path / 'known.npz')
  x = smooth(3)
  np.testing.assert_allclose(unlike.scores(again, x), unlike.scores(known, x), rtol=1e-6)
  assert (tmp_path / 'known.npz').stat().st_size < 2_000_000
  assert unlike.load(tmp_path / 'none.npz') is None and unlike.learn(smooth(49)) is None


def test_a_blurred_picture_is_not_quite_one():
  """What pooling must not hide: detail that is gone."""
  test, _ = inputs('relief', 'test', 10)
  train, groups = inputs('relief', 'train', 200)
  known = unlike.learn(train, groups)
  blurred = [Image.fromarray(x).resize((16, 16)).resize((64, 64)) for x in images.to_uint8(test)]
  before = unlike.scores(known, test)
  after = unlike.scores(known, images.to_float(np.stack([np.asarray(x) for x in blurred])))
  assert (after > before).mean() >= 0.9


def test_translate_its_json_and_the_page_name_them(tmp_path, tiny, page, capsys):
  """A run on smooth pictures, asked for smooth ones and for noise."""
  rng = np.random.default_rng(0)

  def smooth(root, count, width=96):
    root.mkdir(parents=True)
    for i in range(count):
      both = images.resize(rng.integers(0, 256, (5, 7, 3), np.uint8), (32, 96))
      images.write_png(root / f'{i:02d}.png', both[:, :width])

  smooth(tmp_path / 'pairs' / 'train', 60)
  smooth(tmp_path / 'pairs' / 'test', 6)
  images.write_png(tmp_path / 'pairs' / 'test' / 'noise.png', rng.integers(0, 256, (32, 96, 3), np.uint8))
  with tiny.unlocked():
    tiny.data.update(
      {'name': 'folders', 'path': str(tmp_path / 'pairs'), 'load_size': (32, 48), 'crop_size': (32, 48)}
    )
    tiny.steps = 1
  train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  scoring.evaluate(tmp_path / 'run', 'test')
  report.write(tmp_path / 'run')

  inputs = tmp_path / 'inputs'
  smooth(inputs, 4, 48)
  images.write_png(inputs / 'strange.png', rng.integers(0, 256, (32, 48, 3), np.uint8))
  capsys.readouterr()
  translate(tmp_path / 'run', inputs, tmp_path / 'out')
  assert 'means little: 1 of 5 (strange.png)' in capsys.readouterr().out
  files = json.loads((tmp_path / 'out' / 'translate.json').read_text())['files']
  assert [Path(file['input']).name for file in files if file['unlike'] > 1] == ['strange.png']
  assert len(files) == 5 and all(Path(file['output']).exists() for file in files)

  page.goto((tmp_path / 'run' / 'report.html').as_uri())
  assert '1 of 7 inputs are unlike those of training' in page.locator('main').inner_text()
  assert page.locator('.unlike').count() == 1 and page.faults == []
