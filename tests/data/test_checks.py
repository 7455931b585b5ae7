"""What a look at a data set finds: planted faults, and none where there are none."""

import io
import json

import numpy as np
import pytest
from PIL import Image, ImageFilter

from i2i_jax import check, data, fields, train
from i2i_jax.config import load
from i2i_jax.data import checks, images
from i2i_jax.data.checks import duplicates, findings, pairing
from i2i_jax.data.checks.survey import survey
from i2i_jax.errors import BadInput


def earth(task, split='train', count=400):
  """Tiles of 64 px of both sides, uint8 [N, 64, 64, 3], in random order."""
  config = load([f'--config=pix2pix:task={task},size=64'])
  source = data.get(config, split)
  chosen = np.random.default_rng(1).permutation(len(source))[:count]
  pairs = [source[int(i)] for i in chosen]
  return tuple(np.stack([pair[side] for pair in pairs]) for side in 'ab')


@pytest.fixture(scope='module')
def tiles():
  return {task: earth(task) for task in ('relief', 'satellite')}


def edges(image):
  found = Image.fromarray(image).convert('L').filter(ImageFilter.FIND_EDGES)
  return np.asarray(found.point(lambda value: 255 * (value > 40)))[..., None]


def domains(tiles):
  satellite = tiles['satellite'][1]
  return {
    **tiles,
    'gray to colour': (np.stack([images.recolour(x, 1) for x in satellite]), satellite),
    'edges to picture': (np.stack([edges(x) for x in satellite]), satellite),
    'relief to satellite': (earth('relief')[1], satellite),
    'five channels to one': (np.concatenate([*tiles['relief']], -1)[..., :5], tiles['relief'][1][..., :1]),
  }


def shuffled(a, b, share, rng, count=100):
  """So many pairs, of which a share has the target of another."""
  chosen = rng.permutation(len(a))[:count]
  partner = chosen.copy()
  wrong = rng.permutation(count)[: round(share * count)]
  partner[wrong] = partner[np.roll(wrong, 1)]
  return a[chosen] / 127.5 - 1, b[partner] / 127.5 - 1, wrong


@pytest.mark.parametrize('task', ['relief', 'satellite'])
def test_true_pairs_pass_and_wrong_ones_are_counted(tiles, task):
  rng = np.random.default_rng(0)
  for _ in range(3):
    a, b, _ = shuffled(*tiles[task], 0, rng)
    found = pairing.judge(a, b)
    assert found.related < 0.01 < found.wrong
    assert not list(findings.of_pairs(found, ['x'] * 100))
  for share in (0.2, 0.5, 1.0):
    a, b, wrong = shuffled(*tiles[task], share, rng)
    found = pairing.judge(a, b)
    assert found.wrong < 0.01 and abs(found.share - share) <= 0.1
    assert (found.related < 0.01) == (share < 1)
    worst = set(found.order[: len(wrong) // 2])
    assert len(worst & set(wrong)) >= 0.8 * len(worst)


@pytest.mark.slow
def test_fifty_random_subsets_of_each_domain(tiles):
  rng = np.random.default_rng(0)
  for name, pair in domains(tiles).items():
    alarms = [pairing.judge(*shuffled(*pair, 0, rng)[:2]) for _ in range(50)]
    count = sum(found.wrong < 0.01 or found.related >= 0.01 for found in alarms)
    print(f'{name}: {count} false alarms in 50')
    assert count <= 2, name
    for share in (0.2, 0.5, 1.0):
      shares = []
      for _ in range(10):
        found = pairing.judge(*shuffled(*pair, share, rng)[:2])
        assert found.wrong < 0.01, (name, share)
        shares.append(found.share)
      print(f'{name}: {share} estimated as {min(shares):.2f} to {max(shares):.2f}')
      assert abs(np.mean(shares) - share) <= 0.1, name


def test_noise_has_no_pairs_and_flat_images_are_not_judged():
  rng = np.random.default_rng(0)
  a, b = rng.uniform(-1, 1, (2, 60, 32, 32, 3)).astype(np.float32)
  found = pairing.judge(a, b)
  assert found.related >= 0.01 and found.share == 1
  a[:50] = 0.2
  assert pairing.judge(a, b) is None


def test_a_wider_relation_than_brightness_is_seen():
  """The target's brightness is the strength of the input's texture, which no regression on colours sees."""
  rng = np.random.default_rng(0)
  strength = images.resize(rng.integers(0, 256, (6, 6, 80), np.uint8), (64, 64)).transpose(2, 0, 1)[..., None] / 255
  a = rng.normal(0, 1, (80, 64, 64, 1)) * strength * 0.3
  b = 2 * strength - 1
  assert not list(findings.of_pairs(pairing.judge(a, b), ['x'] * 80))
  assert list(findings.of_pairs(pairing.judge(a, np.roll(b, 1, 0)), ['x'] * 80))


# --------------------------------------------------------------------------------------------------------- leaks
def jpeg(image, quality=75):
  file = io.BytesIO()
  Image.fromarray(image).save(file, 'JPEG', quality=quality)
  return np.asarray(Image.open(file))


@pytest.mark.parametrize('task', ['relief', 'satellite'])
def test_a_planted_leak_is_found_whole_and_the_earth_has_none(task):
  train_a, train_b = earth(task, 'train', 2000)
  test_a, test_b = earth(task, 'test')
  for known, asked in ((train_a, test_a), (train_b, test_b)):
    known, small = ([duplicates.thumbnail(x) for x in of] for of in (known, asked))
    assert not duplicates.between(np.stack(small), np.stack(known))
    planted = [duplicates.thumbnail(jpeg(asked[i][:, ::-1])) for i in range(10)]
    found = duplicates.between(np.stack(small), np.stack(known + planted))
    assert [(t.first, t.second, t.turn) for t in found] == [(i, len(known) + i, 'mirrored') for i in range(10)]


@pytest.mark.parametrize('turn', range(8))
def test_an_image_is_known_again_however_it_was_turned_and_scaled(turn):
  rng = np.random.default_rng(turn)
  picture = images.resize(rng.integers(0, 256, (8, 8, 3), np.uint8), (90, 90))
  other = np.rot90(picture, -(turn // 2))  # so that turning it by as much gives the picture
  other = np.rot90(picture[:, ::-1], turn // 2) if turn % 2 else other
  again = images.resize(np.ascontiguousarray(other), (61, 61))
  stranger = images.resize(rng.integers(0, 256, (8, 8, 3), np.uint8), (90, 90))
  small = np.stack([duplicates.thumbnail(x) for x in (stranger, again)])
  (found,) = duplicates.between(duplicates.thumbnail(picture)[None], small)
  assert found[:2] == (0, 1) and bool(found.turn) == bool(turn)
  assert [t[:2] for t in duplicates.within(np.stack([*small, duplicates.thumbnail(picture)]))] == [(1, 2)]


# ------------------------------------------------------------------------------------------------------ a folder
def picture(seed, size=(40, 60)):
  return images.resize(np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8), size)


@pytest.fixture
def folder(tmp_path):
  """Pairs in two folders, with a fault of each kind."""
  root = tmp_path / 'pairs'
  for split, count, seed in (('train', 30, 0), ('test', 22, 100)):
    for side in 'AB':
      (root / f'{split}{side}').mkdir(parents=True)
    for i in range(count):
      image = picture(seed + i)
      images.write_png(root / f'{split}A' / f'{i:02d}.png', images.recolour(image, 1).repeat(3, -1))
      images.write_png(root / f'{split}B' / f'{i:02d}.png', image)
  return root


def config_of(root, **changes):
  config = fields.defaults()
  config.data.update({'name': 'folders', 'path': str(root), 'load_size': (32, 48), 'crop_size': (32, 48), **changes})
  return config


def test_each_fault_is_named_and_what_to_do(folder, tmp_path):
  images.write_png(folder / 'trainB' / '03.png', np.full((40, 60, 3), 9, np.uint8))
  images.write_png(folder / 'trainB' / '05.png', picture(4)[:, ::-1])
  images.write_png(folder / 'testB' / '07.png', picture(11))
  for side in 'AB':
    images.write_png(folder / f'train{side}' / 'tall.png', picture(200, (90, 30)))
  (folder / 'testB' / '09.png').write_bytes((folder / 'testB' / '09.png').read_bytes()[:800])
  result = checks.run(check.sources_of(config_of(folder)), config_of(folder))
  found = '\n'.join(result.findings)
  for text in (
    'train, target: of one colour: 1 of 31 images (03)',
    'train, target: 1 of 31 images there twice: 04 and 05 show the same',
    'target: 1 of 21 images in the training split too, so scores will be too good: 07 is 11',
    'train, target: resizing to 48x32 changes the shape of 1 of 31 images, like tall of 30x90',
    '1 image cannot be read: ',
    '--config.data.channels_a=1',
  ):
    assert text in found, (text, found)
  assert 'testB/09.png' in found and 'channels_b' not in found
  assert list(result.splits) == ['train', 'test']  # val is test, and read once
  assert result.values['leaks']['test']['b'] == [['07', '11', '']]


def test_clean_pairs_have_nothing_to_look_at(folder, tmp_path, page, capsys):
  config = config_of(folder, channels_a=1)
  assert check.check(config, tmp_path / 'check') == []
  stored = json.loads((tmp_path / 'check' / 'check.json').read_text())
  assert stored['pairs']['judged'] == 30 and stored['pairs']['share_wrong'] < 0.1
  assert stored['splits']['train']['a'] | {'mean': 0, 'deviation': 0} == {
    'images': 30,
    'height': [40] * 3,
    'width': [60] * 3,
    'mean': 0,
    'deviation': 0,
    'one_colour': 0,
    'gray': 0,
  }
  page.goto((tmp_path / 'check' / 'check.html').as_uri())
  assert page.locator('ul.found').inner_text() == 'Nothing to look at was found.'
  assert page.locator('.pairs img').count() == 2 * (12 + 12 + 12) and page.faults == []
  check.check(config, tmp_path / 'check')  # written anew
  (tmp_path / 'mine').mkdir()
  (tmp_path / 'mine' / 'notes.txt').touch()
  with pytest.raises(BadInput, match=r'--output: .*notes.txt'):
    check.check(config, tmp_path / 'mine')


def test_sets_without_pairs_are_looked_at_each(folder):
  (folder / 'trainB' / '00.png').rename(folder / 'trainB' / 'other.png')
  images.write_png(folder / 'trainA' / '01.png', np.zeros((40, 60, 3), np.uint8))
  config = config_of(folder, paired=False)
  seen = survey(data.get(config, 'train'), config, 'train')
  assert not seen.paired and [len(seen.sides[side].names) for side in 'ab'] == [30, 30]
  result = checks.run({'train': data.get(config, 'train')}, config)
  assert result.pairing is None and 'train, input: of one colour: 1 of 30 images (01)' in result.findings


def test_training_warns_of_pairs_that_are_none(folder, tmp_path, tiny, capsys):
  names = sorted((folder / 'trainB').iterdir())
  moved = [file.rename(file.with_suffix('.moved')) for file in names]
  for file, other in zip(moved, [*names[1:], names[0]], strict=True):
    file.rename(other)
  with tiny.unlocked():
    tiny.data.update({'name': 'folders', 'path': str(folder), 'load_size': (16, 24)})
    tiny.steps = 1
  train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  assert 'warning: the pairs match no better than shuffled ones' in capsys.readouterr().err


def test_images_of_other_depths_are_looked_at_as_the_net_sees_them(tmp_path):
  """Targets that are floats, of which one goes beyond the range, and inputs of five channels of 16 bits."""
  for split in ('train', 'test'):
    for i in range(6):
      image = picture(i + 10 * (split == 'test'))
      five = np.concatenate([image, image], -1)[..., :5].astype(np.uint16) * 257
      beyond = (split, i) == ('test', 4)
      for side, array in (('A', five), ('B', image / 255 + beyond)):
        (tmp_path / 'pairs' / f'{split}{side}').mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / 'pairs' / f'{split}{side}' / f'{i}.npy', array)
  config = config_of(tmp_path / 'pairs', channels_a=5, depth_a=16, channels_b=3, depth_b=32)
  found = survey(data.get(config, 'train'), config, 'train')
  sides, expected = found.sides, np.stack([picture(i).mean((0, 1)) for i in range(6)])
  np.testing.assert_allclose(sides['b'].means, expected, atol=0.01)
  np.testing.assert_allclose(sides['a'].means[:, :3], expected, atol=0.01)
  result = checks.run(check.sources_of(config), config)
  (broken,) = result.splits['test'].unreadable
  assert broken.startswith('4: values from') and 'config.data.range_b = (0.0, 1.0)' in broken
  check.check(config, tmp_path / 'page')
  assert (tmp_path / 'page' / 'check.html').exists()
