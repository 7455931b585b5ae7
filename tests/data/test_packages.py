"""Sources that read npm's packages: the Earth by night, emoji. Small ones of the same layout."""

import numpy as np
import pytest

from i2i_jax import data, fields
from i2i_jax.data import images
from i2i_jax.data.sources import earth, night
from i2i_jax.errors import BadInput
from tests import packed

BASES = [f'1f{i:03x}' for i in range(0x300, 0x33C)]
TONES = ('', '-1f3ff')


def config_of(name, path, **changes):
  config = fields.defaults()
  config.data.update({'name': name, 'path': str(path), 'size': 64, **changes})
  return config


# ------------------------------------------------------------------------------------------------- day and night
@pytest.fixture(scope='module')
def globe(tmp_path_factory):
  """As three-globe has them, and the two pictures by side."""
  rng = np.random.default_rng(0)
  day, dark = rng.integers(0, 256, (2, 68, 135, 3), np.uint8)
  folder = 'package/example/img/'
  files = {
    'package/package.json': b'{}',
    f'{folder}earth-night.jpg': packed.encoded(dark),
    f'{folder}earth-day.jpg': packed.encoded(day),
    f'{folder}earth-water.png': packed.encoded(day, 'PNG'),
  }
  file = packed.pack(tmp_path_factory.mktemp('npm') / 'three-globe-2.45.2.tgz', files)
  sides = {'a': files[f'{folder}earth-day.jpg'], 'b': files[f'{folder}earth-night.jpg']}
  return file, {side: images.read(side, 3, data=of) for side, of in sides.items()}


def test_tiles_are_parts_of_both_pictures_where_there_is_land(globe):
  file, pictures = globe[0], {side: images.resize(picture, (1350, 2700)) for side, picture in globe[1].items()}
  heights, counts = earth.load_pictures(2, ['elevation'])['elevation'], {}
  for split in data.SPLITS:
    source = data.get(config_of('night', file), split)
    counts[split] = len(source)
    for i in range(0, len(source), 9):
      x, y = source.items[i]
      pair = source[i]
      for side, picture in pictures.items():
        np.testing.assert_array_equal(pair[side], picture[y : y + 64, x : x + 64])
      assert pair['name'] == earth.place(x + 32, y + 32, 2)
      assert earth.land_share(heights[y : y + 64, x : x + 64]) > earth.MIN_LAND - 0.02
  assert counts['train'] > 1000 and min(counts.values()) > 20


def test_no_block_of_the_globe_is_in_two_splits(globe):
  blocks = [set(data.groups(data.get(config_of('night', globe[0], size=128), split))) for split in data.SPLITS]
  assert not blocks[0] & blocks[1] and not blocks[0] & blocks[2] and not blocks[1] & blocks[2]


def test_larger_tiles_are_cut_from_larger_pictures(globe):
  """At 1,800 px from pole to pole, which 2,048 px are reduced to."""
  source = data.get(config_of('night', globe[0], size=128), 'train')
  x, y = source.items[7]
  for side, picture in globe[1].items():
    np.testing.assert_array_equal(source[7][side], images.resize(picture, (1800, 3600))[y : y + 128, x : x + 128])


def test_the_way_back_and_without_pairs(globe):
  there, back = (data.get(config_of('night', globe[0], direction=way), 'val') for way in ('ab', 'ba'))
  np.testing.assert_array_equal(there[3]['a'], back[3]['b'])
  source = data.get(config_of('night', globe[0], paired=False), 'train')
  blocks = [{earth.block_of(*corner, 2) for corner in source.items[side]} for side in 'ab']
  assert all(blocks) and not blocks[0] & blocks[1]
  assert all(set(data.groups(source, side)) == {f'{y},{x}' for y, x in blocks['ab'.index(side)]} for side in 'ab')
  assert data.get(config_of('night', globe[0], paired=False), 'test').paired


def test_what_is_no_such_package_is_refused(globe, tmp_path):
  half = packed.pack(tmp_path / 'half.tgz', {'package/earth-day.jpg': packed.encoded(packed.picture(0))})
  for config, words in (
    (config_of('night', ''), 'give three-globe'),
    (config_of('night', tmp_path / 'x.tgz'), 'there is no file'),
    (config_of('night', globe[0], size=256), r'config\.data\.size'),
    (config_of('night', half), r'holds no earth-night\.jpg'),
  ):
    with pytest.raises(BadInput, match=words):
      data.get(config, 'train')


def test_the_pictures_are_decoded_once_for_all_splits(globe, monkeypatch):
  data.get(config_of('night', globe[0]), 'train')
  monkeypatch.setattr(images, 'read', None)
  data.get(config_of('night', globe[0]), 'val')
  assert night.load_pictures.cache_info().hits > 0


# --------------------------------------------------------------------------------------------------------- emoji
def emoji_of(folder, design, names):
  files = {f'package/img/{design}/sheets/64.png': b'', 'package/emoji.json': b'[]'}
  for name in names:
    picture = np.dstack(
      [packed.picture(len(design), *name.encode(), size=(64, 64)), np.full((64, 64), 255, np.uint8)]
    )
    picture[:8] = 0  # transparent, over black
    files[f'package/img/{design}/64/{name}.png'] = packed.encoded(picture, 'PNG')
    files[f'package/img/{design}/32/{name}.png'] = packed.encoded(picture[::2, ::2], 'PNG')
  return packed.pack(folder / f'emoji-datasource-{design}-16.0.0.tgz', files)


@pytest.fixture(scope='module')
def emoji(tmp_path_factory):
  """Sixty emoji in two tones, one of which each design lacks."""
  folder = tmp_path_factory.mktemp('emoji')
  names = [base + tone for base in BASES for tone in TONES]
  emoji_of(folder, 'google', names[1:])
  emoji_of(folder, 'twitter', names[:-1])
  return folder


def test_emoji_are_pairs_on_white_and_tones_of_one_stay_together(emoji):
  sources = {split: data.get(config_of('emoji', emoji), split) for split in data.SPLITS}
  assert sum(map(len, sources.values())) == len(BASES) * len(TONES) - 2
  bases = {split: set(data.groups(source)) for split, source in sources.items()}
  assert sum(map(len, bases.values())) == len(BASES) and all(bases.values())
  assert len(bases['train']) > 35
  pair = sources['train'][4]
  assert pair['a'].shape == pair['b'].shape == (64, 64, 3)
  for side, design in (('a', 'google'), ('b', 'twitter')):
    assert (pair[side][:8] == 255).all()
    np.testing.assert_array_equal(
      pair[side][8:], packed.picture(len(design), *pair['name'].encode(), size=(64, 64))[8:]
    )


def test_emoji_the_other_way_and_without_pairs(emoji):
  there, back = (data.get(config_of('emoji', emoji, direction=way), 'val') for way in ('ab', 'ba'))
  np.testing.assert_array_equal(there[1]['a'], back[1]['b'])
  source = data.get(config_of('emoji', emoji, paired=False), 'train')
  bases = [{name.partition('-')[0] for name in source.items[side]} for side in 'ab']
  assert all(bases) and not bases[0] & bases[1]
  assert all(set(data.groups(source, side)) == bases['ab'.index(side)] for side in 'ab')


def test_emoji_that_are_missing_are_asked_for(tmp_path):
  with pytest.raises(BadInput, match='is no folder'):
    data.get(config_of('emoji', tmp_path / 'x'), 'train')
  emoji_of(tmp_path, 'google', BASES[:2])
  with pytest.raises(BadInput, match=r'must hold one emoji-datasource-twitter-\*\.tgz.*found none'):
    data.get(config_of('emoji', tmp_path), 'train')
  packed.pack(tmp_path / 'emoji-datasource-twitter-16.0.0.tgz', {'package/package.json': b'{}'})
  with pytest.raises(BadInput, match='holds no pictures in img/twitter/64'):
    data.get(config_of('emoji', tmp_path), 'train')
