"""Sets of Hugging Face's library: what it saved, Parquet files, pairs and sets of two columns or four splits."""

import sys

import datasets
import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from i2i_jax import data, fields
from i2i_jax.data import images
from i2i_jax.errors import BadInput
from tests import packed


def config_of(path, folder, **changes):
  config = fields.defaults()
  config.data.update({'name': 'hub', 'path': str(path), 'dir': str(folder / 'cache'), **changes})
  return config


def arrays(seed, count):
  return [packed.picture(seed, i, size=(10, 14)) for i in range(count)]


def table(**columns):
  """A split whose columns hold these pictures, None where there is none, as the library keeps them: PNG files."""
  files = {
    name: [None if image is None else {'bytes': packed.encoded(image, 'PNG'), 'path': None} for image in of]
    for name, of in columns.items()
  }
  return datasets.Dataset.from_dict(files, features=datasets.Features(dict.fromkeys(files, datasets.Image())))


def paired(seed=0, **counts):
  numbered = enumerate(counts.items())
  return {split: (arrays([seed, 1, i], count), arrays([seed, 2, i], count)) for i, (split, count) in numbered}


def saved(path, splits):
  """As huggan's sets are: a row is a pair, in imageA and imageB."""
  tables = {split: table(imageA=a, imageB=b) for split, (a, b) in splits.items()}
  datasets.DatasetDict(tables).save_to_disk(str(path))
  return path


def parquet(path, splits):
  (path / 'data').mkdir(parents=True)
  for split, (a, b) in splits.items():
    rows = table(imageA=a, imageB=b)
    half = len(rows) // 2
    for i, part in enumerate((rows.select(range(half)), rows.select(range(half, len(rows))))):
      part.to_parquet(str(path / 'data' / f'{split}-{i:05d}-of-00002.parquet'))
  return path


@pytest.fixture(autouse=True)
def quiet():
  datasets.disable_progress_bars()


@pytest.mark.parametrize('write', [saved, parquet])
def test_rows_are_pairs(tmp_path, write):
  splits = paired(train=5, validation=2, test=3)
  path = write(tmp_path / 'facades', splits)
  for split, theirs in (('train', 'train'), ('val', 'validation'), ('test', 'test')):
    source = data.get(config_of(path, tmp_path), split)
    back = data.get(config_of(path, tmp_path, direction='ba'), split)
    assert len(source) == len(splits[theirs][0])
    for i, (a, b) in enumerate(zip(*splits[theirs], strict=True)):
      np.testing.assert_array_equal(source[i]['a'], a)
      np.testing.assert_array_equal(source[i]['b'], b)
      np.testing.assert_array_equal(back[i]['a'], b)
    assert len({source[i]['name'] for i in range(len(source))}) == len(source)


def test_a_fingerprint_tells_sets_and_splits_apart_and_stays(tmp_path):
  paths = [saved(tmp_path / str(seed), paired(seed, train=3, test=3)) for seed in (0, 1)]
  prints = [data.get(config_of(path, tmp_path), split).fingerprint for path in paths for split in ('train', 'test')]
  assert len(set(prints)) == 4
  assert data.get(config_of(paths[0], tmp_path), 'train').fingerprint == prints[0]
  once = parquet(tmp_path / 'files', paired(train=4))
  prints = {data.get(config_of(once, tmp_path), 'train').fingerprint for _ in range(2)}
  assert len(prints) == 1


def test_a_pair_is_read_without_the_others_and_as_files_are(tmp_path, monkeypatch):
  rotated = Image.fromarray(packed.picture(5, size=(8, 12)))
  exif = rotated.getexif()
  exif[0x0112] = 6
  rotated.save(tmp_path / 'turned.jpg', exif=exif)
  Image.new('RGBA', (8, 12), (255, 0, 0, 0)).save(tmp_path / 'clear.png')
  files = [{'bytes': (tmp_path / name).read_bytes(), 'path': None} for name in ('turned.jpg', 'clear.png')]
  kinds = {'first': datasets.Image(), 'second': datasets.Image(), 'caption': datasets.Value('string')}
  rows = {'first': files[:1] * 4, 'second': files[1:] * 4, 'caption': list('abcd')}
  datasets.Dataset.from_dict(rows, features=datasets.Features(kinds)).save_to_disk(str(tmp_path / 'set'))
  source = data.get(config_of(tmp_path / 'set', tmp_path, column_a='first', column_b='second'), 'train')
  seen, read = [], images.read
  monkeypatch.setattr(images, 'read', lambda *given, **more: (seen.append(given), read(*given, **more))[1])
  pair = source[2]
  assert len(seen) == 2
  assert pair['a'].shape == (12, 8, 3)
  assert (pair['b'] == 255).all()


def test_two_columns_are_two_sets_and_empty_rows_are_passed_over(tmp_path):
  """As huggan's horse2zebra: a row holds a horse and a zebra that are no pair."""
  a, b = arrays(3, 5), [*arrays(4, 3), None, None]
  path = saved(tmp_path / 'horse2zebra', {'train': (a, b), 'test': (a[:2], b[:2])})
  source = data.get(config_of(path, tmp_path, paired=False), 'train')
  assert isinstance(source, data.Unpaired) and len(source) == 5
  assert {side: len(items) for side, items in source.items.items()} == {'a': 5, 'b': 3}
  back = data.get(config_of(path, tmp_path, paired=False, direction='ba'), 'train')
  assert {side: len(items) for side, items in back.items.items()} == {'a': 3, 'b': 5}
  np.testing.assert_array_equal(back.read(back.items['a'][1], 'a')[0], b[1])
  drawn = {source.draw(4, np.random.default_rng(seed))['b'].tobytes() for seed in range(30)}
  assert drawn == {image.tobytes() for image in b[:3]}
  assert not data.get(config_of(path, tmp_path, paired=False), 'test').paired
  with pytest.raises(BadInput, match='imageB of row 3: there is no picture'):
    data.get(config_of(path, tmp_path), 'train')[3]


def test_four_splits_are_two_sets_each(tmp_path, capsys):
  sides = {'trainA': arrays(0, 4), 'trainB': arrays(1, 2), 'testA': arrays(2, 2), 'testB': arrays(3, 3)}
  tables = datasets.DatasetDict({split: table(image=of) for split, of in sides.items()})
  tables.save_to_disk(str(tmp_path / 'set'))
  source = data.get(config_of(tmp_path / 'set', tmp_path, paired=False), 'train')
  assert [len(source.items[side]) for side in 'ab'] == [4, 2]
  np.testing.assert_array_equal(source.read(1, 'b')[0], sides['trainB'][1])
  val = data.get(config_of(tmp_path / 'set', tmp_path, paired=False), 'val')
  assert "'test' serves for it" in capsys.readouterr().out
  np.testing.assert_array_equal(val.read(2, 'b')[0], sides['testB'][2])


def test_of_a_set_with_train_alone_training_pictures_stand_in(tmp_path, capsys):
  rows = paired(train=3)['train']
  table(imageA=rows[0], imageB=rows[1]).save_to_disk(str(tmp_path / 'one'))
  config = config_of(tmp_path / 'one', tmp_path)
  assert len(data.get(config, 'val')) == 3
  assert "there is no 'val', so 'train' serves for it" in capsys.readouterr().out
  with pytest.raises(BadInput, match="no images for 'test'; it has train"):
    data.get(config, 'test')


def test_what_cannot_be_had_is_one_line(tmp_path, monkeypatch):
  path = saved(tmp_path / 'set', paired(train=2))
  with pytest.raises(BadInput, match=r"no column 'imagesA'; set config\.data\.column_a.*did you mean 'imageA'"):
    data.get(config_of(path, tmp_path, column_a='imagesA'), 'train')
  with pytest.raises(BadInput, match=r'config\.data\.path is empty'):
    data.get(config_of('', tmp_path), 'train')
  (tmp_path / 'nothing').mkdir()
  with pytest.raises(BadInput, match='holds no Parquet files'):
    data.get(config_of(tmp_path / 'nothing', tmp_path), 'train')
  datasets.Dataset.from_dict({'imageA': ['x'], 'imageB': ['y']}).save_to_disk(str(tmp_path / 'words'))
  with pytest.raises(BadInput, match='and no pictures'):
    data.get(config_of(tmp_path / 'words', tmp_path), 'train')

  def offline(*given, **options):
    raise ConnectionError('the hub\ncannot be reached')

  monkeypatch.setattr(datasets, 'load_dataset', offline)
  with pytest.raises(
    BadInput, match='huggan/facades: neither a folder here nor a set that loads: the hub cannot'
  ) as bad:
    data.get(config_of('huggan/facades', tmp_path), 'train')
  assert len(str(bad.value).splitlines()) == 1
  monkeypatch.setitem(sys.modules, 'datasets', None)
  with pytest.raises(BadInput, match=r"needs the library datasets: pip install -e '\.\[hub\]'"):
    data.get(config_of(path, tmp_path), 'train')


def test_parquet_files_of_any_origin_are_told_apart_by_their_folders(tmp_path):
  """As the hub's own conversion lays them out, and without what its library adds to them."""
  splits = paired(train=3, test=2)
  for split, (a, b) in splits.items():
    (tmp_path / 'set' / split).mkdir(parents=True)
    rows = {'imageA': a, 'imageB': b}
    plain = {name: [{'bytes': packed.encoded(x, 'PNG'), 'path': None} for x in of] for name, of in rows.items()}
    pyarrow.parquet.write_table(pyarrow.table(plain), tmp_path / 'set' / split / '0000.parquet')
  for split, (a, b) in splits.items():
    source = data.get(config_of(tmp_path / 'set', tmp_path), split)
    assert len(source) == len(a)
    np.testing.assert_array_equal(source[1]['a'], a[1])
    np.testing.assert_array_equal(source[1]['b'], b[1])
