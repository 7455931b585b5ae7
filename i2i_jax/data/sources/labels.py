"""Label images, their instances and photos, laid out as for pix2pixHD: train_label/ train_inst/ train_img/.

Label images are gray, a pixel's value being its label, 0 to N - 1; instances are gray too, of 8 or 16 bits, a number
for each object. Both are the input (`config.data.onehot`, see data/labels.py): N channels, and one of the edges of
instances, so `config.data.channels_a` is N + 1; without instances, `config.data.edges=False`, it is N. The photos are
the target. As in the paper's code files belong together by their order.

There may be test_label/ and so on, val_label/ too; where one is missing another stands in, as in folders.
"""

from ml_collections import ConfigDict

from i2i_jax.data import fingerprints, images, labels
from i2i_jax.data.sources import _pairs
from i2i_jax.errors import BadInput


def source(config: ConfigDict, split: str) -> _pairs.Pairs:
  """The label images of a split, int32 [H, W, 1] or with instances [H, W, 2], and their photos.

  Raises:
    BadInput: no such folder, a folder of another count of files, pictures of one place of different sizes.
  """
  root = _pairs.folder(config.path, 'of train_label/ and train_img/')
  if not config.onehot:
    raise BadInput('config.data.name = labels: its inputs are ids, for config.data.onehot=True')
  kinds = ('label', 'inst', 'img') if config.edges else ('label', 'img')
  there = [name for name in _pairs.STAND_INS if (root / f'{name}_label').is_dir()]
  name = _pairs.serving(split, there, root)
  folders = [root / f'{name}_{kind}' for kind in kinds]
  files = [images.list_images(folder) if folder.is_dir() else [] for folder in folders]
  if len({len(of) for of in files}) > 1 or not files[0]:
    counts = ', '.join(f'{len(of)} in {folder.name}' for folder, of in zip(folders, files, strict=True))
    raise BadInput(f'{root}: files belong together by their order, so there must be as many of each: {counts}')
  items = list(zip(*files, strict=True))
  for item in items:
    if len({images.size(file) for file in item}) > 1:
      raise BadInput(f'{" and ".join(map(str, item))} are of one picture and must have one size')

  def read(item, side):
    *ids, photo = item
    return labels.read(*ids) if side == 'a' else images.read(photo, config.channels_b), item[0].stem

  return _pairs.Pairs(items, read, fingerprints.of_files(file for item in items for file in item))
