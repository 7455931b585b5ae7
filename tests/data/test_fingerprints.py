"""A set of images is known by its content: what is replaced, swapped or renamed is another set."""

import os
import shutil

import numpy as np
import pytest

from i2i_jax import data
from i2i_jax.data import fingerprints


@pytest.fixture
def pictures(tmp_path):
  """Files of one size and one time, as a tar file unpacks them."""
  folder = tmp_path / 'pictures'
  folder.mkdir()
  rng = np.random.default_rng(0)
  for i in range(4):
    (folder / f'{i}.bmp').write_bytes(rng.bytes(100))
    os.utime(folder / f'{i}.bmp', ns=(10**18, 10**18))
  return folder


@pytest.fixture(params=['read', 'known'])
def kept(request, tmp_path, monkeypatch):
  """Whether checksums are kept, as those of a large set are."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  monkeypatch.setattr(fingerprints, 'KEEP_FROM', {'read': 1 << 40, 'known': 0}[request.param])
  return request.param == 'known'


def of(folder):
  return fingerprints.of_files(sorted(folder.iterdir()))


def test_what_is_replaced_or_swapped_or_renamed_is_told(pictures, kept):
  found = [of(pictures)]
  assert of(pictures) == found[0]
  one, two = pictures / '1.bmp', pictures / '2.bmp'

  text = bytearray(one.read_bytes())
  text[50] ^= 1
  one.write_bytes(text)
  os.utime(one, ns=(10**18, 10**18))  # as rsync leaves it
  found.append(of(pictures))

  one.rename(pictures / 'x')
  two.rename(one)
  (pictures / 'x').rename(two)
  found.append(of(pictures))

  two.rename(pictures / '9.bmp')
  found.append(of(pictures))
  assert len(set(found)) == 4


def test_a_copy_of_a_set_is_the_same_set(pictures, kept, tmp_path):
  shutil.copytree(pictures, tmp_path / 'copy')
  assert of(pictures) == of(tmp_path / 'copy')


def test_files_are_read_once(pictures, kept, monkeypatch, tmp_path):
  read, sha256 = [], fingerprints.sha256
  monkeypatch.setattr(fingerprints, 'sha256', lambda file: read.append(file.name) or sha256(file))
  first = of(pictures)
  assert (of(pictures), len(read)) == (first, 4 if kept else 8)
  if kept:
    (pictures / '3.bmp').write_bytes(bytes(100))
    assert of(pictures) != first and read[4:] == ['3.bmp']
    for store in (tmp_path / 'cache').rglob('*.json'):
      store.write_text(store.read_text()[:-20])
    assert of(pictures) != first and len(read) == 9  # a damaged store is as none


def test_a_store_that_cannot_be_written_is_done_without(pictures, kept, tmp_path):
  (tmp_path / 'cache').write_text('a file where the folder would be')
  assert of(pictures) == of(pictures)


def test_a_folder_whose_images_are_swapped_is_another_set(tiny, picture_folder):
  with tiny.unlocked():
    tiny.data.update({'name': 'folders', 'path': str(picture_folder)})
    tiny.batch_size = 2
  before = data.get(tiny, 'train').fingerprint
  files = [picture_folder / 'train' / f'{i}.png' for i in (0, 1)]
  contents = [file.read_bytes() for file in files]
  for file, other in zip(files, contents[::-1], strict=True):
    file.write_bytes(other)
  after = data.get(tiny, 'train').fingerprint
  assert fingerprints.differ(before, after)
  assert not fingerprints.differ('0123456789abcdef', after)  # an older version's, of names and sizes
