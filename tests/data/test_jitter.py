"""Training images in other colours, and fewer of them: what each does, against Pillow, colorsys and counts."""

import colorsys

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from i2i_jax import data
from i2i_jax.data import images, jitter
from i2i_jax.errors import BadInput


def rng(seed=0):
  return np.random.default_rng(seed)


def picture(channels=3, seed=0):
  coarse = rng(seed).integers(0, 256, (6, 8, channels), np.uint8)
  return images.resize(coarse, (24, 32)).copy()


# ------------------------------------------------------------------------------------------- colours


@pytest.mark.parametrize('factor', [0.3, 1.0, 1.7])
@pytest.mark.parametrize(
  ('ours', 'theirs'),
  [
    (jitter.brightness, ImageEnhance.Brightness),
    (jitter.contrast, ImageEnhance.Contrast),
    (jitter.saturation, ImageEnhance.Color),
  ],
)
def test_factors_are_pillows(ours, theirs, factor):
  image = picture()
  found = np.clip(ours(image.astype(np.float32) / 255, np.float32(factor)), 0, 1) * 255
  expected = np.asarray(theirs(Image.fromarray(image)).enhance(factor), float)
  assert np.abs(found - expected).max() < 2  # Pillow's grays and results are whole numbers


@pytest.mark.parametrize('turn', [-0.2, 0.0, 0.13])
def test_hue_is_colorsys_s(turn):
  image = picture()
  image[:2] = image[:2, :, :1]  # grays have no hue
  found = jitter.hue(image.astype(np.float32) / 255, np.float32(turn))
  for pixel, ours in zip(image.reshape(-1, 3)[::7] / 255, found.reshape(-1, 3)[::7], strict=True):
    hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
    np.testing.assert_allclose(ours, colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value), atol=1e-5)


def test_what_is_drawn_has_the_papers_ranges_and_any_order(monkeypatch):
  drawn, orders = {name: [] for name in ('brightness', 'contrast', 'saturation', 'hue')}, set()
  order = []

  def noting(name):
    def operation(x, number):
      drawn[name].append(float(number))
      order.append(name)
      return x

    return operation

  for name in drawn:
    monkeypatch.setattr(jitter, name, noting(name))
  for seed in range(400):
    order.clear()
    jitter.draw(0.5, rng(seed))(picture())
    orders.add(tuple(order))
  assert len(orders) == 24
  for name, numbers in drawn.items():
    low, high = (-0.1, 0.1) if name == 'hue' else (0.6, 1.4)
    assert low <= min(numbers) < low + 0.02 and high - 0.02 < max(numbers) <= high


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_images_keep_their_type_and_grays_stay_gray(dtype):
  image = picture().astype(dtype) * (257 if dtype == np.uint16 else 1)
  found = jitter.draw(1.0, rng(1))(image)
  assert found.dtype == dtype and found.shape == image.shape
  scale = 257 if dtype == np.uint16 else 1
  assert np.abs(found / scale - jitter.draw(1.0, rng(1))(picture())).max() <= 1
  gray = image[..., :1]
  alone, tripled = (jitter.draw(1.0, rng(3))(x) for x in (gray, np.repeat(gray, 3, -1)))
  assert alone.shape == gray.shape and not np.array_equal(alone, gray)
  assert np.abs(tripled.astype(int) - alone).max() <= scale


def batches(config, count=1):
  iterator = data.train_iterator(data.get(config, 'train'), config)
  return [next(iterator) for _ in range(count)]


def with_copies(monkeypatch):
  """Pairs whose two images are one."""
  from tests.fake import Pairs

  original = Pairs.__getitem__
  monkeypatch.setattr(Pairs, '__getitem__', lambda self, i: {**original(self, i), 'b': original(self, i)['a']})


def test_a_pair_changes_alike_and_what_is_no_pair_does_not(tiny, monkeypatch):
  with_copies(monkeypatch)
  tiny.data.update({'load_size': (16, 24), 'flip': False})
  (plain,) = batches(tiny)
  tiny.data.jitter = 0.5
  first, *others = batches(tiny, 6)
  np.testing.assert_array_equal(first['a'], first['b'])
  assert not np.array_equal(first['a'], plain['a'])
  seen = {x.tobytes() for batch in (first, *others) for x in batch['a']}
  assert len(seen) == 6 * 8  # anew each time
  view = data.augment(tiny.data, paired=False)
  image = {'a': picture()[:16, :24], 'b': picture()[:16, :24]}
  apart = view(image, rng())
  assert not np.allclose(apart['a'], apart['b'])
  validation = next(data.eval_batches(data.get(tiny, 'val'), tiny, 4))
  tiny.data.jitter = 0.0
  np.testing.assert_array_equal(validation['a'], next(data.eval_batches(data.get(tiny, 'val'), tiny, 4))['a'])


def test_an_input_is_made_of_the_target_in_its_new_colours(tiny):
  tiny.data.update({'jitter': 0.5, 'degrade': 'gray'})
  (batch,) = batches(tiny)
  luma = ((batch['b'] + 1) * 127.5) @ np.array([0.299, 0.587, 0.114])
  assert np.abs((batch['a'] + 1) * 127.5 - luma[..., None]).max() <= 1


@pytest.mark.parametrize(
  ('changes', 'words'),
  [
    ({'jitter': 1.5}, 'is a strength, from 0'),
    ({'jitter': 0.5, 'channels_a': 4}, 'config.data.channels_a = 4'),
    ({'jitter': 0.5, 'labels': ((0, 0, 0), (255, 0, 0))}, 'colours are names'),
  ],
)
def test_what_has_no_colours_is_refused(tiny, changes, words):
  tiny.data.update(changes)
  with pytest.raises(BadInput) as error:
    data.get(tiny, 'train')
  assert 'config.data.jitter' in str(error.value) and words in str(error.value)


# ------------------------------------------------------------------------------------------- fewer of them


def names(source):
  return [source[i]['name'] for i in range(len(source))]


def test_a_limit_takes_images_evenly_spread_for_training_alone(tiny):
  tiny.data.limit = 8
  whole = data.get(tiny, 'val')
  train = data.get(tiny, 'train')
  assert names(train) == [f'train_{i:03d}' for i in (0, 2, 4, 6, 9, 11, 13, 15)]
  assert train.paired and len(whole) == 4
  tiny.data.limit = 0
  everything = data.get(tiny, 'train')
  assert len(everything) == 16 and everything.fingerprint != train.fingerprint
  tiny.data.limit = 100
  assert data.get(tiny, 'train').fingerprint == everything.fingerprint
  tiny.data.limit = 7
  with pytest.raises(BadInput, match='too few images for a batch, the training split has 7'):
    data.get(tiny, 'train')


def test_a_limit_holds_for_each_side_without_pairs(tiny):
  tiny.batch_size = 2
  tiny.data.update({'paired': False, 'limit': 3})
  source = data.get(tiny, 'train')
  assert isinstance(source, data.Unpaired) and len(source) == 3
  assert [list(items) for items in source.items.values()] == [[0, 4, 7], [8, 12, 15]]
  tiny.data.limit = 4
  assert data.get(tiny, 'train').fingerprint != source.fingerprint


def test_wrong_pairs_are_among_the_chosen(tiny):
  tiny.data.update({'limit': 8, 'wrong_pairs': 1.0})
  wrong = data.get(tiny, 'train')
  targets = {wrong[i]['b'].tobytes() for i in range(len(wrong))}
  tiny.data.wrong_pairs = 0.0
  right = data.get(tiny, 'train')
  assert targets == {right[i]['b'].tobytes() for i in range(8)}
