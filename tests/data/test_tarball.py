"""pix2pix's tar files: what lies where in them, sets that stay apart, what is refused before anything is written."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from i2i_jax import data, fields
from i2i_jax.data.sources import tarball
from i2i_jax.errors import BadInput
from tests import packed


def config_of(file, folder, **changes):
  config = fields.defaults()
  config.data.update({'name': 'tarball', 'path': str(file), 'dir': str(folder / 'sets'), **changes})
  return config


def decoded(data):
  return np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))


@pytest.mark.parametrize('name', packed.PIX2PIX)
def test_the_halves_are_those_of_the_pictures(tmp_path, name):
  file, pictures = packed.pix2pix(tmp_path, name)
  for split, count in packed.PIX2PIX[name].items():
    source = data.get(config_of(file, tmp_path), split)
    assert len(source) == count
    for i, pair in enumerate(map(source.__getitem__, range(count))):
      whole = decoded(pictures[f'{name}/{split}/{i + 1}.jpg'])
      np.testing.assert_array_equal(pair['a'], whole[:, :18])
      np.testing.assert_array_equal(pair['b'], whole[:, 18:])
      assert pair['name'] == str(i + 1)


def test_the_other_direction_and_gray(tmp_path):
  file, _ = packed.pix2pix(tmp_path)
  there = data.get(config_of(file, tmp_path), 'val')[0]
  back = data.get(config_of(file, tmp_path, direction='ba', channels_a=1), 'val')[0]
  np.testing.assert_array_equal(back['b'], there['a'])
  gray = np.asarray(Image.fromarray(there['b']).convert('L'))
  np.testing.assert_array_equal(back['a'][..., 0], gray)


def test_a_set_may_have_many_shards_and_stays_in_order(tmp_path, monkeypatch):
  monkeypatch.setattr(tarball, 'SHARD', 2)
  source = data.get(config_of(packed.pix2pix(tmp_path)[0], tmp_path), 'train')
  assert [source[i]['name'] for i in range(len(source))] == list('12345')
  assert len(list((tmp_path / 'sets').rglob('*train*array_record*'))) == 3


def test_sets_of_two_tar_files_stay_apart_and_are_cut_once(tmp_path, monkeypatch):
  files = []
  for seed in (0, 1):
    (tmp_path / str(seed)).mkdir()
    files.append(packed.pix2pix(tmp_path / str(seed), seed=seed))
  pairs = [data.get(config_of(file, tmp_path), 'train')[2]['a'] for file, _ in files]
  assert not np.array_equal(*pairs)
  monkeypatch.setattr(tarball, 'survey', None)  # there is nothing to be cut
  for (file, pictures), before in zip(files, pairs, strict=True):
    again = data.get(config_of(file, tmp_path), 'train')[2]['a']
    np.testing.assert_array_equal(again, before)
    np.testing.assert_array_equal(again, decoded(pictures['facades/train/3.jpg'])[:, :18])
  assert len({data.get(config_of(file, tmp_path), 'train').fingerprint for file, _ in files}) == 2


def test_a_split_that_is_missing_has_a_stand_in(tmp_path, capsys):
  config = config_of(packed.pix2pix(tmp_path, 'maps')[0], tmp_path)
  val, test = (data.get(config, split) for split in ('val', 'test'))
  assert "there is no 'test', so 'val' serves for it" in capsys.readouterr().out
  assert val.fingerprint == test.fingerprint  # so --step=best is refused
  files = {f'edges/train/{i}.png': packed.encoded(packed.picture(i), 'PNG') for i in range(2)}
  config = config_of(packed.pack(tmp_path / 'edges.tgz', files), tmp_path)
  assert len(data.get(config, 'val')) == 2
  assert "'train' serves for it" in capsys.readouterr().out
  with pytest.raises(BadInput, match="no images for 'test'"):
    data.get(config, 'test')


def test_without_pairs_the_halves_are_two_sets_and_scores_have_pairs(tmp_path):
  config = config_of(packed.pix2pix(tmp_path)[0], tmp_path, paired=False)
  source = data.get(config, 'train')
  assert isinstance(source, data.Unpaired)
  partners = {source.draw(0, np.random.default_rng(seed))['b'].tobytes() for seed in range(20)}
  assert len(partners) > 2
  assert data.get(config, 'test').paired


def test_names_are_no_paths_here(tmp_path):
  data_of = packed.encoded(packed.picture(0), 'PNG')
  names = ('../../../evil/train/1.png', '/evil/train/2.png', './facades/train/3.png', 'train/4.png')
  file = packed.pack(tmp_path / 'odd.tar.gz', dict.fromkeys(names, data_of))
  with tarfile.open(tmp_path / 'linked.tar', 'w') as archive:
    link = tarfile.TarInfo('facades/train/9.png')
    link.type, link.linkname = tarfile.SYMTYPE, '/etc/passwd'
    archive.addfile(link)
  before = {p for p in tmp_path.parent.rglob('*') if 'sets' not in p.parts}
  assert len(data.get(config_of(file, tmp_path), 'train')) == 4
  assert {p for p in tmp_path.parent.rglob('*') if 'sets' not in p.parts} == before
  with pytest.raises(BadInput, match='holds no pictures'):
    data.get(config_of(tmp_path / 'linked.tar', tmp_path), 'train')


def torn(file, share):
  whole = file.read_bytes()
  file.write_bytes(whole[: int(len(whole) * share)])


@pytest.mark.parametrize(
  ('made', 'words'),
  [
    (lambda folder: '', r'config\.data\.path is empty: give a tar file'),
    (lambda folder: folder / 'nowhere.tar.gz', 'there is no file'),
    (lambda folder: folder / 'text.tar.gz', 'is no tar file'),
    (lambda folder: folder / 'torn.tar.gz', 'or not all of one'),
    (lambda folder: folder / 'empty.tar.gz', 'holds no pictures in folders train, val, test'),
    (lambda folder: folder / 'odd.tar.gz', r'a/train/1\.png: its width of 37 px is odd'),
    (lambda folder: folder / 'broken.tar.gz', r'a/train/1\.png: not an image'),
  ],
)
def test_what_is_refused_is_refused_before_anything_is_written(tmp_path, made, words):
  (tmp_path / 'text.tar.gz').write_text('<html>404</html>')
  torn(packed.pix2pix(tmp_path)[0].rename(tmp_path / 'torn.tar.gz'), 0.6)
  packed.pack(tmp_path / 'empty.tar.gz', {'facades/train/1.txt': b'', 'facades/other/1.jpg': b'x'})
  packed.pack(tmp_path / 'odd.tar.gz', {'a/train/1.png': packed.encoded(packed.picture(0, size=(8, 37)), 'PNG')})
  packed.pack(tmp_path / 'broken.tar.gz', {'a/train/1.png': b'x' * 99})
  with pytest.raises(BadInput, match=words) as refused:
    data.get(config_of(made(tmp_path), tmp_path), 'train')
  assert len(str(refused.value).splitlines()) == 1
  assert not (tmp_path / 'sets').exists()


@pytest.mark.parametrize(
  ('changes', 'words'), [({'direction': 'bb'}, 'direction'), ({'channels_a': 4}, r'1 \(gray\)')]
)
def test_what_cannot_be_read_so_is_refused(tmp_path, changes, words):
  with pytest.raises(BadInput, match=words):
    data.get(config_of(packed.pix2pix(tmp_path)[0], tmp_path, **changes), 'train')
  assert not (tmp_path / 'sets').exists()


def test_a_picture_that_breaks_off_leaves_no_set(tmp_path):
  whole = packed.encoded(packed.picture(1, size=(64, 64)), 'PNG')
  files = {'a/train/1.png': whole, 'a/train/2.png': whole[: len(whole) // 2]}
  config = config_of(packed.pack(tmp_path / 'a.tar.gz', files), tmp_path)
  for _ in range(2):
    with pytest.raises(BadInput, match=r'a/train/2\.png: cannot be read'):
      data.get(config, 'train')
  assert not list((tmp_path / 'sets').rglob('*array_record*'))
