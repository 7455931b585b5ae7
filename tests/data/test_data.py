"""Sources, augmentation, and the pipeline's promises: the same for both of a pair, exact to resume, disjoint."""

import shutil
import threading
from pathlib import Path

import grain
import numpy as np
import pytest
from PIL import Image

from i2i_jax import data, fields, ranges
from i2i_jax.config import override
from i2i_jax.data import images
from i2i_jax.data.sources import earth, folders
from i2i_jax.errors import BadInput
from tests import fake


def earth_config(folder, size=64, task='relief'):
  config = fields.defaults()
  config.data.update(
    {
      'name': 'earth',
      'size': size,
      'task': task,
      'dir': str(folder),
      'load_size': (size,) * 2,
      'crop_size': (size,) * 2,
    }
  )
  return config


@pytest.fixture(scope='module')
def tiles(tmp_path_factory):
  return tmp_path_factory.mktemp('tfds')


# ------------------------------------------------------------------------------------------------------ the Earth
@pytest.mark.parametrize(('size', 'scale'), [(c.size, c.scale) for c in earth.Earth.BUILDER_CONFIGS])
def test_no_pixel_of_the_globe_is_in_two_splits(size, scale):
  owner = np.zeros((earth.HEIGHT // scale, earth.WIDTH // scale), np.uint8)
  for mark, split in enumerate(data.SPLITS, start=1):
    for x, y in earth.tile_corners(split, size, scale):
      tile = owner[y : y + size, x : x + size]
      assert tile.shape == (size, size)
      assert np.isin(tile, (0, mark)).all()
      tile[:] = mark
  shares = np.bincount(owner.ravel(), minlength=4)[1:] / (owner > 0).sum()
  assert shares[0] > 0.6
  assert shares[1:].min() > 0.05


def test_the_tiles_on_disk_are_those_of_their_split(tiles):
  """Each stored tile is the picture's part at its corner, and its corner is one of its split's."""
  data.get(earth_config(tiles), 'test')
  builder = earth.Earth(config='64', data_dir=tiles)
  pictures = earth.load_pictures(2)
  for split in data.SPLITS:
    corners = set(earth.tile_corners(split, 64, 2))
    records = builder.as_data_source(split=split)
    assert len(records) > 20
    for record in (records[i] for i in range(0, len(records), 7)):
      x, y = int(record['x']), int(record['y'])
      assert (x, y) in corners
      for name, picture in pictures.items():
        np.testing.assert_array_equal(record[name], picture[y : y + 64, x : x + 64])
      assert earth.land_share(record['elevation']) >= earth.MIN_LAND


def test_tiles_of_one_block_belong_together(tiles):
  """42 test tiles in 13 blocks, of whose sizes tests/sweeps/test_stats.py simulates tables."""
  source = data.get(earth_config(tiles), 'test')
  groups = data.groups(source)
  assert len(groups) == len(source) == 42
  assert sorted(groups.count(g) for g in set(groups)) == [1, 2, 2, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4]
  for group, pair in zip(groups, map(source.__getitem__, range(42)), strict=True):
    row, column = map(int, group.split(','))
    (north, north_sign), (east, east_sign) = ((float(x[:-1]), x[-1]) for x in pair['name'].split('_'))
    latitude, longitude = (-north if north_sign == 'S' else north), (-east if east_sign == 'W' else east)
    degrees = earth.BLOCK / 15
    assert row == (90 - latitude) // degrees and column == (longitude + 180) // degrees


def test_images_that_nothing_is_known_of_are_each_a_group(tiny):
  assert data.groups(data.get(tiny, 'test')) == ['0', '1', '2', '3']


def test_the_pictures_lie_on_one_another():
  """Shifting one of two pictures by a few pixels must not make their coasts agree better."""
  pictures = earth.load_pictures(2)
  seas = {
    'elevation': lambda p: p[..., 2] > p[..., 1],
    'satellite': lambda p: p[..., 2] > 1.3 * p[..., 0],
    'relief': lambda p: p[..., 2] > p[..., 0] + 12,
  }
  masks = {name: seas[name](picture.astype(np.int16))[200:1100] for name, picture in pictures.items()}
  for task_a, task_b in earth.TASKS.values():
    agreement = {
      (dy, dx): np.mean(masks[task_a] == np.roll(masks[task_b], (dy, dx), (0, 1)))
      for dy in range(-3, 4)
      for dx in range(-3, 4)
    }
    best = max(agreement, key=agreement.get)
    assert max(map(abs, best)) <= 1, (task_a, task_b, best)


@pytest.mark.parametrize('task', earth.TASKS)
def test_a_task_gives_its_pair(tiles, task):
  pair = data.get(earth_config(tiles, task=task), 'val')[3]
  reference = earth.Earth(config='64', data_dir=tiles).as_data_source(split='val')[3]
  for key, picture in zip('ab', earth.TASKS[task], strict=True):
    np.testing.assert_array_equal(pair[key], reference[picture])


# ---------------------------------------------------------------------------------------------- augment and batch
def coordinates(height, width):
  """An image whose values tell where each pixel came from: rows in channel 0, columns in channel 1."""
  rows, cols = np.mgrid[:height, :width]
  return np.stack([rows, cols, rows], axis=-1).astype(np.uint8)


def test_a_pair_is_cropped_and_flipped_as_one(tiny):
  tiny.data.update({'load_size': (20, 30), 'crop_size': (12, 16)})
  view = data.augment(tiny.data)
  image = coordinates(20, 30)
  seen = set()
  for seed in range(60):
    out = view({'a': image, 'b': 255 - image, 'name': 'x'}, np.random.default_rng(seed))
    np.testing.assert_allclose(out['a'], -out['b'], atol=1e-6)
    assert out['a'].shape == (12, 16, 3)
    whole = images.to_uint8(out['a']).astype(int)
    top, left, right = whole[0, 0, 0], whole[0, 0, 1], whole[0, -1, 1]
    assert abs(right - left) == 15
    seen.add((top, min(left, right), right < left))
  assert {flipped for _, _, flipped in seen} == {True, False}
  assert {top for top, _, _ in seen} == set(range(9))  # every offset there is, the last one too
  assert len({left for _, left, _ in seen}) > 10


def test_no_flip_where_the_config_says_so(tiny):
  tiny.data.update({'load_size': (20, 30), 'crop_size': (20, 30), 'flip': False})
  view = data.augment(tiny.data)
  image = coordinates(20, 30)
  for seed in range(10):
    out = view({'a': image, 'b': image, 'name': 'x'}, np.random.default_rng(seed))
    np.testing.assert_array_equal(images.to_uint8(out['a']), image)


@pytest.mark.parametrize('paired', [True, False])
@pytest.mark.parametrize('room', [True, False])
def test_images_are_decoded_once_if_there_is_room_and_batches_are_the_same(tiny, monkeypatch, paired, room):
  with tiny.unlocked():
    tiny.data.paired = paired
    tiny.batch_size = 4
  decoded = []
  original = fake.Pairs.__getitem__
  here = threading.get_ident()  # other tests' pipelines may still fill their buffers

  def counted(self, index):
    if threading.get_ident() == here:
      decoded.append(index)
    return original(self, index)

  monkeypatch.setattr(fake.Pairs, '__getitem__', counted)
  pixels = 18 * 28 * 3 * 16 * (2 if paired else 1)  # load_size, channels, images
  monkeypatch.setattr(data, 'CACHE_BYTES', pixels if room else pixels - 1)
  config = tiny.copy_and_resolve_references().unlock()
  config.data.crop_size = config.data.load_size  # the same images, whole
  source = data.get(config, 'train')
  read = data.at_load_size(source, config.data)
  decoded.clear()
  for epoch in range(3):
    for index in range(len(source)):
      pair = read(index, np.random.default_rng([epoch, index]))
      fresh = original(source, index) if paired else None
      assert {pair[k].shape for k in 'ab'} == {(18, 28, 3)}
      if paired:
        np.testing.assert_array_equal(pair['a'], fresh['a'])
  once = len(set(decoded))
  assert len(decoded) == once if room else len(decoded) > 2 * once

  kept = data.train_iterator(source, tiny)
  monkeypatch.setattr(data, 'CACHE_BYTES', 0)
  fresh = data.train_iterator(source, tiny)
  for _ in range(12):
    for one, other in zip(next(kept).values(), next(fresh).values(), strict=True):
      np.testing.assert_array_equal(one, other)


def test_the_position_is_restored_exactly(tiny):
  source = data.get(tiny, 'train')
  straight = data.train_iterator(source, tiny)
  expected = [next(straight) for _ in range(7)]
  first = data.train_iterator(source, tiny)
  for _ in range(4):
    next(first)
  second = data.train_iterator(source, tiny)
  second.set_state(first.get_state())
  for batch in expected[4:]:
    again = next(second)
    for key in ('a', 'b'):
      np.testing.assert_array_equal(batch[key], again[key])


def test_processes_see_disjoint_images_and_each_epoch_another_order(tiny):
  class Numbers:
    fingerprint, paired = '', True

    def __len__(self):
      return 16

    def __getitem__(self, i):
      value = np.full((18, 28, 3), i * 10, np.uint8)
      return {'a': value, 'b': value, 'name': str(i)}

  def epochs(process, count):
    iterator = data.train_iterator(Numbers(), tiny, process_index=process, process_count=2)
    assert isinstance(iterator, grain.DatasetIterator)
    drawn = [images.to_uint8(next(iterator)['a'])[:, 0, 0, 0] // 10 for _ in range(2 * count)]
    return [np.concatenate(drawn[:count]).tolist(), np.concatenate(drawn[count:]).tolist()]

  one, two = epochs(0, 2), epochs(1, 2)
  assert sorted(one[0] + two[0]) == list(range(16))
  assert sorted(one[0]) == sorted(one[1])
  assert one[0] != one[1]


def test_images_are_spread_evenly_with_both_ends():
  assert data.spread(5, 9) == [0, 1, 2, 3, 4]
  assert data.spread(100, 4) == [0, 33, 66, 99]
  assert data.spread(7, 1) == [0]
  assert data.spread(0, 3) == []


def test_evaluation_sees_each_image_once_whole_and_in_order(tiny):
  source = data.get(tiny, 'test')
  batches = list(data.eval_batches(source, tiny, 3))
  assert [len(b['a']) for b in batches] == [3, 1]
  assert [n for b in batches for n in b['name']] == [source[i]['name'] for i in range(4)]
  whole = images.to_float(images.resize(source[0]['a'], (16, 24)))
  np.testing.assert_array_equal(batches[0]['a'][0], whole)


# -------------------------------------------------------------------------------------------------------- folders
def folder_config(root, **changes):
  config = fields.defaults()
  config.data.update({'name': 'folders', 'path': str(root), 'load_size': (32, 32), 'crop_size': (32, 32), **changes})
  return config


def test_side_by_side_pictures_are_halved(picture_folder):
  pair = data.get(folder_config(picture_folder, channels_a=1), 'train')[1]
  whole = images.read(picture_folder / 'train' / '1.png')
  np.testing.assert_array_equal(pair['b'], whole[:, 301:])
  np.testing.assert_array_equal(pair['a'], whole[:, :301, :1])
  swapped = data.get(folder_config(picture_folder, direction='ba', channels_b=1), 'train')[1]
  np.testing.assert_array_equal(swapped['a'], pair['b'])
  np.testing.assert_array_equal(swapped['b'], pair['a'])


def test_two_folders_are_matched_by_name(tmp_path):
  for folder, value, ending in (('trainA', 10, 'png'), ('trainB', 200, 'jpg')):
    (tmp_path / folder).mkdir()
    for i, name in enumerate('xyz'):
      Image.new('RGB', (8, 8), (value + i,) * 3).save(tmp_path / folder / f'{name}.{ending}', quality=100)
  source = data.get(folder_config(tmp_path), 'train')
  assert [source[i]['name'] for i in range(3)] == ['x', 'y', 'z']
  assert [int(source[i]['b'][0, 0, 0]) for i in range(3)] == [200, 201, 202]


def save(path, size=(8, 8), mode='RGB'):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.new(mode, size).save(path)


@pytest.mark.parametrize(
  ('files', 'words'),
  [
    ({}, "no images for 'train'"),
    ({'train/a.png': (8, 8), 'other/b.png': (8, 8)}, None),
    ({'photos/a.png': (8, 8)}, 'found photos'),
    ({'trainA/a.png': (8, 8), 'trainB/b.png': (8, 8)}, 'a.png has no partner of the same name'),
    ({'trainA/a.png': (8, 8), 'trainA/b.png': (8, 8), 'trainB/a.png': (8, 8)}, '2 images in A, 1 in B'),
    ({'trainA/a.png': (8, 8), 'trainB/a.png': (8, 9)}, 'must have one size'),
    ({'train/a.png': (9, 8)}, 'width of 9 px is odd'),
    ({'trainA/a.png': (8, 8), 'trainA/a.bmp': (8, 8), 'trainB/a.png': (8, 8)}, 'share the name'),
  ],
)
def test_folders_that_cannot_be_used_are_refused_with_a_reason(tmp_path, files, words):
  for name, size in files.items():
    save(tmp_path / name, size)
  config = folder_config(tmp_path)
  if words is None:
    assert len(data.get(config, 'train')) == 1
  else:
    with pytest.raises(BadInput, match=words):
      data.get(config, 'train')


def test_a_broken_image_is_named_wherever_it_lies(tmp_path):
  for i in range(4):
    save(tmp_path / 'train' / f'{i}.png')
  (tmp_path / 'train' / '3.png').write_bytes((tmp_path / 'train' / '3.png').read_bytes()[:40])
  with pytest.raises(BadInput, match=r'3\.png'):
    data.get(folder_config(tmp_path), 'train')


def test_a_missing_folder_and_no_folder_are_refused(tmp_path):
  with pytest.raises(BadInput, match='there is no folder'):
    data.get(folder_config(tmp_path / 'nowhere'), 'train')
  with pytest.raises(BadInput, match=r'config\.data\.path is empty'):
    data.get(folder_config(''), 'train')


def test_too_few_images_for_a_batch_are_refused(tmp_path):
  save(tmp_path / 'train' / 'a.png')
  config = folder_config(tmp_path)
  config.batch_size = 2
  with pytest.raises(BadInput, match='too few images for a batch, the training split has 1'):
    data.get(config, 'train')


# --------------------------------------------------------------------------------------------------------- images
def test_16_bits_are_scaled_and_not_cut(tmp_path):
  values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
  Image.fromarray(values).save(tmp_path / 'x.png')
  np.testing.assert_allclose(images.read(tmp_path / 'x.png')[..., 0], values / 257, atol=0.51)


def test_transparency_is_composited_on_white_and_rotation_applied(tmp_path):
  Image.new('RGBA', (4, 4), (255, 0, 0, 0)).save(tmp_path / 'clear.png')
  assert (images.read(tmp_path / 'clear.png', 3) == 255).all()
  rotated = Image.new('RGB', (6, 4))
  exif = rotated.getexif()
  exif[0x0112] = 6
  rotated.save(tmp_path / 'turned.jpg', exif=exif)
  assert images.read(tmp_path / 'turned.jpg').shape == (6, 4, 3)


def test_what_is_no_image_is_refused(tmp_path):
  (tmp_path / 'text.png').write_text('hello')
  (tmp_path / 'folder.png').mkdir()
  Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / 'float.tif')
  for name, words in (('text', 'not an image'), ('folder', 'not a regular file'), ('float', 'floating-point')):
    with pytest.raises(BadInput, match=words):
      images.read(next(tmp_path.glob(f'{name}.*')))


def test_floats_are_clipped_before_they_become_bytes():
  assert images.to_uint8(np.array([-3.0, -1.0, 0.0, 1.0, 2.0])).tolist() == [0, 0, 128, 255, 255]
  every = np.arange(256, dtype=np.uint8)
  np.testing.assert_array_equal(images.to_uint8(images.to_float(every)), every)


@pytest.mark.parametrize('channels', [1, 2, 3, 5])
def test_resizing_takes_any_channels(channels):
  image = np.full((5, 9, channels), 77, np.uint8)
  resized = images.resize(image, (12, 4))
  assert resized.shape == (12, 4, channels)
  assert (resized == 77).all()


def test_folders_module_is_found_by_its_name():
  assert {'earth', 'folders', 'cycle_gan', 'tarball', 'hub', 'night', 'emoji', 'labels'} == set(data.SOURCES)
  assert folders.STAND_INS['train'] == ('train',)


def test_a_share_of_pairs_is_wrong_and_always_the_same(tiny):
  right = data.get(tiny, 'train')
  for share, count in ((0.25, 4), (1.0, 16), (0.01, 2)):
    override(tiny, {'data.wrong_pairs': share})
    wrong = data.get(tiny, 'train')
    assert all(np.array_equal(wrong[i]['a'], right[i]['a']) for i in range(16))
    targets = [next(j for j in range(16) if np.array_equal(wrong[i]['b'], right[j]['b'])) for i in range(16)]
    assert sum(j != i for i, j in enumerate(targets)) == count
    assert sorted(targets) == list(range(16))  # each target is still seen as often
    assert targets == [int(i) for i in data.get(tiny, 'train').partner]
    assert wrong.fingerprint != right.fingerprint
    assert data.get(tiny, 'test').fingerprint == data.get(tiny, 'test').fingerprint.replace('wrong', '')
  first = data.get(tiny, 'train').partner
  override(tiny, {'seed': 1})
  assert list(data.get(tiny, 'train').partner) != list(first)


def test_wrong_pairs_need_pairs(tiny):
  for changes, reason in (({'data.wrong_pairs': 1.5}, 'from 0 to 1'), ({'data.paired': False}, 'without pairs')):
    override(tiny, {'data.wrong_pairs': 0.5, **changes})
    with pytest.raises(BadInput, match=reason):
      data.get(tiny, 'train')


def test_covering_keeps_the_shape_and_takes_the_middle():
  image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
  for size, covered, corner in (
    ((10, 10), (10, 15), (0, 2)),
    ((12, 20), (13, 20), (0, 0)),
    ((40, 20), (40, 60), (0, 20)),
  ):
    whole = images.resize(image, covered)
    np.testing.assert_array_equal(images.cover(image, size), whole)
    top, left = corner
    np.testing.assert_array_equal(images.fit(image, size, 'cover'), whole[top : top + size[0], left : left + size[1]])
  np.testing.assert_array_equal(images.fit(image, (10, 10), 'stretch'), images.resize(image, (10, 10)))


@pytest.mark.parametrize('paired', [True, False])
def test_training_images_can_keep_their_shape(picture_folder, paired, tiny):
  """Of 200x301 px: covering 20x20 they are 20x30, and any 16x16 of them may be seen, in a and b the same."""
  with tiny.unlocked():
    tiny.data.update({'name': 'folders', 'path': str(picture_folder), 'load_size': (20, 20), 'crop_size': (16, 16)})
    tiny.data.update({'fit': 'cover', 'channels_a': 1, 'flip': False})
    tiny.update({'batch_size': 4})
  source = data.get(tiny, 'train')
  whole = [images.cover(source[i]['a'], (20, 20)) for i in range(len(source))]
  assert {x.shape for x in whole} == {(20, 30, 1)}
  windows = {
    x[top : top + 16, left : left + 16].tobytes(): left for x in whole for top in range(5) for left in range(15)
  }
  if not paired:
    pairs = source
    indices = range(len(pairs))
    source = data.Unpaired(indices, indices, lambda index, side: (pairs[index][side], ''), 'made up')
  iterator = data.train_iterator(source, tiny)
  lefts = set()
  for _ in range(12):
    batch = next(iterator)
    assert batch['b'].shape == (4, 16, 16, 3)
    for a, b in zip(batch['a'], batch['b'], strict=True):
      lefts.add(windows[images.to_uint8(a).tobytes()])
      if paired:  # the colour is a tint of the gray
        np.testing.assert_allclose(np.corrcoef(a.ravel(), b.mean(-1).ravel())[0, 1], 1, atol=0.02)
  assert len(lefts) > 8
  batch = next(data.eval_batches(data.get(tiny, 'test'), tiny, 3))
  assert batch['a'].shape == (3, 16, 16, 1)
  with tiny.unlocked():
    tiny.data.fit = 'crop'
  with pytest.raises(BadInput, match=r'config\.data\.fit'):
    ranges.check(tiny)


def test_unpaired_folders_whose_test_names_match_are_scored(tmp_path, capsys):
  rng = np.random.default_rng(0)
  for folder, names in (('trainA', 'abc'), ('trainB', 'abc'), ('testA', 'xyz'), ('testB', 'xyz')):
    (tmp_path / folder).mkdir()
    for name in names:
      images.write_png(tmp_path / folder / f'{name}.png', rng.integers(0, 256, (9, 7, 3), np.uint8))
  config = fields.defaults().data
  config.update({'name': 'folders', 'path': str(tmp_path), 'paired': False})
  test = folders.source(config, 'test')
  assert test.paired and 'paired by name for scores' in capsys.readouterr().out
  np.testing.assert_array_equal(test[1]['b'], images.read(tmp_path / 'testB' / 'y.png'))
  assert not folders.source(config, 'train').paired  # what is learnt from has no pairs, whatever its names
  (tmp_path / 'testB' / 'z.png').rename(tmp_path / 'testB' / 'w.png')
  assert not folders.source(config, 'test').paired
  for side in 'AB':
    shutil.rmtree(tmp_path / f'test{side}')
  assert not folders.source(config, 'val').paired  # train serves for val


def test_a_source_that_misses_its_file_is_named(tiny, monkeypatch):
  monkeypatch.setattr(fake, 'source', lambda config, split: Path('nowhere/pairs.h5').read_bytes())
  with pytest.raises(BadInput, match=r'config.data.name = tests.fake: .*nowhere/pairs.h5'):
    data.get(tiny, 'train')


def test_what_has_no_pairs_must_be_able_to_draw(tiny, monkeypatch):
  pairs = data.get(tiny, 'train')
  pairs.paired = False
  monkeypatch.setattr(fake, 'source', lambda config, split: pairs)
  with pytest.raises(BadInput, match=r'must be an i2i_jax\.data\.Unpaired'):
    data.get(tiny, 'train')


def test_some_of_the_pairs_and_wrong_ones_belong_together_as_before(tiny, monkeypatch):
  labels = [f'block {i // 3}' for i in range(16)]
  monkeypatch.setattr(fake.Pairs, 'groups', labels, raising=False)
  with tiny.unlocked():
    tiny.data.update({'limit': 8, 'wrong_pairs': 0.5})
  source = data.get(tiny, 'train')
  assert data.groups(source) == [labels[i] for i in data.spread(16, 8)]
