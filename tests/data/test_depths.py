"""Folders of 16 bits, floats and any channels, up to the batches that nets see."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i_jax import data, fields
from i2i_jax.config import load
from i2i_jax.data import formats, images
from i2i_jax.errors import BadInput
from i2i_jax.plan import make_plan
from tests import fake

SIZE = (8, 12)


def smooth(channels, seed, size=SIZE):
  """Floats from 0 to 1."""
  rng = np.random.default_rng(seed)
  return images.resize(rng.uniform(0.2, 0.8, (3, 4, channels)).astype(np.float32), size).clip(0, 1)


def folder(root, make_a, make_b, count=3, splits=('train', 'test')):
  """Pairs whose files `make_a(path without its ending, seed)` and `make_b` write."""
  for split in splits:
    for i in range(count):
      for side, make in (('A', make_a), ('B', make_b)):
        (root / f'{split}{side}').mkdir(parents=True, exist_ok=True)
        make(root / f'{split}{side}' / f'{i}', i + count * (side == 'B'))
  return root


def config_of(root, **changes):
  config = fields.defaults()
  config.data.update({'name': 'folders', 'path': str(root), 'load_size': SIZE, 'crop_size': SIZE, 'flip': False})
  config.data.update(changes)
  return config


def gray16(path, seed):
  Image.fromarray(np.rint(smooth(1, seed)[..., 0] * 65535).astype(np.uint16)).save(path.with_suffix('.png'))


def five(path, seed):
  values = np.rint(smooth(5, seed) * 65535).astype(np.uint16)
  tifffile.imwrite(path.with_suffix('.tif'), values, photometric='minisblack', planarconfig='contig')


def floats(path, seed, scale=400, low=-100):
  tifffile.imwrite(path.with_suffix('.tif'), smooth(1, seed)[..., 0] * scale + low)


def array(path, seed):
  np.save(path.with_suffix('.npy'), smooth(2, seed).astype(np.float64))


def rgb(path, seed):
  Image.fromarray(np.rint(smooth(3, seed) * 255).astype(np.uint8)).save(path.with_suffix('.bmp'))


def jpeg(path, seed):
  Image.fromarray(np.rint(smooth(3, seed) * 255).astype(np.uint8)).save(path.with_suffix('.jpg'), quality=95)


def test_batches_have_the_values_of_the_files(tmp_path):
  """Five channels of 16 bits in, floats out: the values are the files' by their ranges, and no 8 bits between."""
  root = folder(tmp_path, five, floats)
  config = config_of(root, channels_a=5, channels_b=1, depth_a=16, depth_b=32, range_b=(-100.0, 300.0))
  for batch in (
    next(data.train_iterator(data.get(config, 'train'), config)),
    next(data.eval_batches(data.get(config, 'test'), config, 1)),
  ):
    assert batch['a'].dtype == batch['b'].dtype == np.float32
    errors = [
      [np.abs(batch[side][0] - (2 * smooth(channels, seed) - 1)).max() for side, channels, seed in sides]
      for sides in ((('a', 5, i), ('b', 1, i + 3)) for i in range(3))
    ]
    (right,) = [error for error in errors if error[0] < 0.01]  # one of the three pairs
    assert right[0] < 1.01 / 65535 and right[1] < 1e-6


@pytest.mark.parametrize(
  ('make', 'changes', 'top'),
  [
    (gray16, {'channels_a': 1, 'depth_a': 16}, 65535),
    (gray16, {'channels_a': 1}, 255),
    (gray16, {'channels_a': 1, 'depth_a': 32, 'range_a': (0.0, 65535.0)}, 65535),
    (array, {'channels_a': 2, 'depth_a': 32}, 1e6),
    (rgb, {'depth_a': 16}, 255),
    (rgb, {'channels_a': 1, 'depth_a': 16}, 255),
  ],
)
def test_each_kind_of_file_comes_with_its_own_values(tmp_path, make, changes, top):
  config = config_of(folder(tmp_path, make, jpeg), **changes)
  source = data.get(config, 'train')
  batch = next(data.eval_batches(source, config, 3))
  channels = {gray16: 1, array: 2, rgb: 3}[make]
  expected = np.stack([smooth(channels, i) for i in range(3)])
  if config.data.channels_a < channels:
    expected = expected @ np.array([[0.299], [0.587], [0.114]])
  assert np.abs((batch['a'] + 1) / 2 - expected).max() < 1 / top
  if make is gray16 and config.data.depth_a == 16:  # far more values than 8 bits have
    assert len(np.unique(source[0]['a'])) > 80 and source[0]['a'].dtype == np.uint16


def test_the_halves_of_a_picture_may_have_depths_of_their_own(tmp_path):
  (tmp_path / 'train').mkdir()
  both = np.rint(np.concatenate([smooth(5, 0), smooth(5, 1)], 1) * 65535).astype(np.uint16)
  tifffile.imwrite(tmp_path / 'train' / 'x.tif', both, photometric='minisblack', planarconfig='contig')
  config = config_of(tmp_path, channels_a=5, channels_b=5, depth_b=16)
  pair = data.get(config, 'train')[0]
  np.testing.assert_array_equal(pair['b'], both[:, 12:])
  assert pair['a'].dtype == np.uint8 and np.abs(pair['a'] - both[:, :12] / 257).max() <= 0.51
  config.data.update({'direction': 'ba', 'depth_a': 16, 'depth_b': 32})
  pair = data.get(config, 'train')[0]
  np.testing.assert_array_equal(pair['a'], both[:, 12:])
  np.testing.assert_array_equal(pair['b'], both[:, :12].astype(np.float32))


def test_sets_without_pairs_have_depths_too(tmp_path):
  root = folder(tmp_path, gray16, floats)
  config = config_of(root, paired=False, channels_a=1, channels_b=1, depth_a=16, depth_b=32, range_b=(-100.0, 300.0))
  source = data.get(config, 'train')
  assert (source[0]['a'].dtype, source[0]['b'].dtype) == (np.uint16, np.float32)
  data.check_ranges(source, config.data, 'train')
  config.data.range_b = (0.0, 300.0)
  with pytest.raises(BadInput, match=r'3 of 3 train images have values outside of config\.data\.range_b'):
    data.check_ranges(source, config.data, 'train')


def test_splits_of_files_of_one_size_are_not_taken_for_one_another(tmp_path):
  root = folder(tmp_path, array, array)
  for i in range(3):
    array(root / 'testA' / f'{i}', 10 + i)
  config = config_of(root, channels_a=2, channels_b=2, depth_a=32, depth_b=32)
  train, test, val = (data.get(config, split).fingerprint for split in ('train', 'test', 'val'))
  assert train != test == val  # which test serves for


# --------------------------------------------------------------------------------------------------- out of range
def test_values_out_of_range_are_refused_before_training_or_clipped_and_counted(tmp_path, tiny, capsys):
  """Of three targets the second goes from -100 to beyond 1000."""

  def some(path, seed):
    floats(path, seed, scale=2000 if seed == 4 else 400)

  root = folder(tmp_path / 'pairs', jpeg, some)
  changes = {'channels_b': 1, 'depth_b': 32, 'range_b': (-100.0, 300.0), 'name': 'folders', 'path': str(root)}
  with tiny.unlocked():
    tiny.data.update(changes)
    tiny.batch_size = 1
  with pytest.raises(BadInput) as refused:
    make_plan(tiny, tmp_path / 'run', mesh_spec='data=1')
  top = smooth(1, 4).max() * 2000 - 100
  assert '1 of 3 train images have values outside of config.data.range_b = (-100.0, 300.0): from ' in str(
    refused.value
  )
  assert f'to {top:g}; the first is 1; widen it, or set config.data.clip=True' in str(refused.value)
  assert not (tmp_path / 'run').exists()
  with pytest.raises(BadInput, match=r'1: values from .* outside of config\.data\.range_b = \(-100\.0, 300\.0\)'):
    list(data.eval_batches(data.get(tiny, 'test'), tiny, 3))
  read = data.at_load_size(data.get(tiny, 'train'), tiny.data)
  read(0, None)
  with pytest.raises(BadInput, match='1: values from'):
    read(1, None)

  with tiny.unlocked():
    tiny.data.clip = True
  make_plan(tiny, tmp_path / 'run', mesh_spec='data=1')
  said = capsys.readouterr().out
  assert '1 of 3 train images have values' in said and '1 of 3 val images' in said and 'they are clipped' in said
  config = config_of(root, **changes, clip=True)
  batch = next(data.eval_batches(data.get(config, 'test'), config, 3))
  expected = np.clip((smooth(1, 4) * 2000 - 100 + 100) / 200 - 1, -1, 1)
  np.testing.assert_allclose(batch['b'][1], expected, atol=1e-5)
  assert batch['b'][1].max() == 1 > batch['b'][0].max()


def test_what_is_not_finite_is_refused_also_where_values_are_clipped(tmp_path):
  def broken(path, seed):
    values = smooth(1, seed)
    values[2, 3] = np.nan if seed == 5 else 0.5
    np.save(path.with_suffix('.npy'), values)

  config = config_of(folder(tmp_path, jpeg, broken), channels_b=1, depth_b=32, clip=True)
  with pytest.raises(BadInput, match=r'trainB/2\.npy: holds values that are not finite'):
    data.check_ranges(data.get(config, 'train'), config.data, 'train')
  for clip in (False, True):  # of a source of one's own
    kind = images.kind(config.data, 'b')._replace(clip=clip)
    with pytest.raises(BadInput, match='x: holds values that are not finite'):
      images.within(np.full((2, 2, 1), np.nan, np.float32), kind, 'x')


def test_a_float_that_resizing_makes_overshoot_is_in_range(tmp_path):
  edge = np.zeros((40, 40, 1), np.float32)
  edge[:, 20:] = 1
  assert images.resize(edge, SIZE).max() > 1

  config = config_of(
    folder(tmp_path, lambda path, seed: np.save(path.with_suffix('.npy'), edge), jpeg), channels_a=1, depth_a=32
  )
  for file in tmp_path.glob('*B/*.jpg'):
    Image.new('RGB', (40, 40)).save(file)
  batch = next(data.train_iterator(data.get(config, 'train'), config))
  assert batch['a'].max() == 1 and batch['a'].min() == -1


# --------------------------------------------------------------------------------------------------------- refused
@pytest.mark.parametrize(
  ('changes', 'words'),
  [
    ({'depth_a': 12}, r'config\.data\.depth_a = 12 must be 8, 16, or 32'),
    ({'range_b': (1.0, 1.0), 'depth_b': 32}, r'config\.data\.range_b = \(1\.0, 1\.0\) must be \(low, high\)'),
    ({'range_b': (1.0,), 'depth_b': 32}, r'must be \(low, high\)'),
    ({'clip': True}, r'config\.data\.clip is for floats'),
    ({'channels_a': 0}, r'config\.data\.channels_a = 0 must be at least 1'),
    ({'degrade': 'blur(2)', 'depth_a': 16, 'depth_b': 16}, 'degrade works on 8 bits'),
    ({'channels_a': 4}, r'trainA/0\.jpg: 3 channels, where config\.data\.channels_a or _b wants 4'),
  ],
)
def test_fields_that_make_no_sense_are_refused(tmp_path, changes, words):
  config = config_of(folder(tmp_path, jpeg, jpeg), **changes)
  with pytest.raises(BadInput, match=words):
    data.get(config, 'train')


def test_only_ranges_may_be_below_zero():
  flags = ['--config=pix2pix:data=folder,path=x', '--config.data.depth_b=32']
  config = load([*flags, '--config.data.range_b=(-1024.0, 3071.0)'])
  assert tuple(config.data.range_b) == (-1024.0, 3071.0)
  with pytest.raises(BadInput, match='zero or more'):
    load([*flags, '--config.optim.lr=-1.0'])
  with pytest.raises(BadInput, match=r'config\.data\.range_a is read by config\.data\.depth_a = 32, and not by 8'):
    load([*flags, '--config.data.range_a=(-1.0, 1.0)'])
  with pytest.raises(BadInput, match=r'config\.data\.depth_a is read by config\.data\.name = folders'):
    load(['--config=pix2pix', '--config.data.depth_a=16'])


def test_a_source_of_ones_own_has_the_depth_that_the_config_says(tiny, monkeypatch):
  with tiny.unlocked():
    tiny.data.depth_b = 16
  with pytest.raises(BadInput, match=r'config\.data\.depth_b = 16: train_000 is uint8, not uint16'):
    data.get(tiny, 'train')

  class Deep(fake.Pairs):
    def __getitem__(self, index):
      pair = super().__getitem__(index)
      return {**pair, 'b': pair['b'].astype(np.uint16) * 257}

  expected = next(data.eval_batches(fake.source(tiny.data, 'test'), fields_of_8(tiny), 4))
  monkeypatch.setattr(fake, 'Pairs', Deep)
  batch = next(data.eval_batches(data.get(tiny, 'test'), tiny, 4))
  assert np.abs(batch['b'] - expected['b']).max() < 2.01 / 255


def fields_of_8(config):
  config = config.copy_and_resolve_references().unlock()
  config.data.depth_b = 8
  return config


@pytest.mark.parametrize('depth', [8, 16, 32])
def test_what_stays_in_memory_is_counted_by_its_bytes(tmp_path, monkeypatch, depth):
  config = config_of(folder(tmp_path, gray16, jpeg), channels_a=1, depth_a=depth, range_a=(0.0, 65535.0))
  needed = 3 * 8 * 12 * (depth // 8 + 3)
  opened = []
  original = formats.held
  monkeypatch.setattr(formats, 'held', lambda path, *more: opened.append(path) or original(path, *more))
  for room in (needed, needed - 1):
    monkeypatch.setattr(data, 'CACHE_BYTES', room)
    source = data.get(config, 'train')
    read = data.at_load_size(source, config.data)
    opened.clear()
    for _ in range(3):
      for index in range(3):
        read(index, np.random.default_rng(0))
    assert len(opened) == (6 if room == needed else 18)
