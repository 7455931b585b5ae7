"""Tar files and folders of the layouts that data sets are published in, small."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

# Pairs in each split of pix2pix's tar files: which there are is as published, how many is not.
PIX2PIX = {
  'facades': {'train': 5, 'val': 2, 'test': 3},
  'maps': {'train': 4, 'val': 2},
  'cityscapes': {'train': 4, 'val': 2},
  'edges2shoes': {'train': 4, 'val': 2},
  'edges2handbags': {'train': 4, 'val': 2},
  'night2day': {'train': 4, 'val': 1, 'test': 2},
}


def picture(*seed: int, size=(24, 36), channels=3) -> np.ndarray:
  """Smooth noise, uint8 [H, W, channels]."""
  coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, channels), np.uint8)
  return np.asarray(Image.fromarray(coarse.squeeze()).resize(size[::-1], Image.Resampling.BICUBIC)).reshape(*size, -1)


def encoded(array: np.ndarray, form='JPEG', **options) -> bytes:
  file = io.BytesIO()
  Image.fromarray(array.squeeze()).save(file, form, **options)
  return file.getvalue()


def pack(path: Path, files: dict[str, bytes | None]) -> Path:
  """Writes a tar.gz file of these files, in their order; None makes a folder."""
  with tarfile.open(path, 'w:gz') as archive:
    for name, data in files.items():
      member = tarfile.TarInfo(name)
      member.size = len(data or b'')
      member.type = tarfile.REGTYPE if data is not None else tarfile.DIRTYPE
      archive.addfile(member, io.BytesIO(data or b''))
  return path


def pix2pix(folder: Path, name='facades', seed=0) -> tuple[Path, dict[str, bytes]]:
  """A tar file as pix2pix's are, and the pictures in it by their names in it."""
  counts = PIX2PIX[name].items()
  pictures = {
    f'{name}/{split}/{i + 1}.jpg': encoded(picture(seed, len(split), i), quality=95)
    for split, count in counts
    for i in range(count)
  }
  rest = {f'{name}/': None, f'{name}/README.txt': b'not a picture', f'{name}/train/._1.jpg': b'of a Mac'}
  return pack(folder / f'{name}.tar.gz', rest | pictures), pictures


def cyclegan(root: Path) -> Path:
  """A folder as CycleGAN's zip files hold, horse2zebra: other names and counts in A and B."""
  for part, count in (('trainA', 4), ('trainB', 6), ('testA', 2), ('testB', 3)):
    (root / part).mkdir(parents=True)
    for i in range(count):
      data = encoded(picture(len(part), i, ord(part[-1]), size=(20, 20)), quality=95)
      (root / part / f'n0{ord(part[-1])}_{i}.jpg').write_bytes(data)
  return root


def cityscapes(root: Path, labels=35, size=(32, 64), splits=('train', 'test'), count=3) -> Path:
  """A folder as pix2pixHD's: gray label images, 16-bit instances, photos whose colours tell the labels."""
  for s, split in enumerate(splits):
    for kind in ('label', 'inst', 'img'):
      (root / f'{split}_{kind}').mkdir(parents=True)
    for i in range(count):
      rng = np.random.default_rng([s, i])
      ids = np.kron(rng.integers(0, labels, (4, 8)), np.ones((size[0] // 4, size[1] // 8), int)).astype(np.uint8)
      instances = ids.astype(np.uint16) * 1000
      instances[: size[0] // 2] += 256  # another number, and the same low byte
      photo = np.stack([ids * 7, 255 - ids * 7, ids], -1)
      arrays = {'label': (ids, 'labelIds'), 'inst': (instances, 'instanceIds'), 'img': (photo, 'left')}
      for kind, (array, place) in arrays.items():
        Image.fromarray(array).save(root / f'{split}_{kind}' / f'aachen_{i}_{place}.png')
  return root
