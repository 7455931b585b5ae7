"""Data sets of Hugging Face's hub, and what its library `datasets` has left on the disk. Needs the extra [hub].

  pip install -e '.[hub]'
  i2i train --config=pix2pix:data=hub,path=huggan/facades --workdir=runs/facades

`config.data.path` is the name of a data set on the hub, a folder that `save_to_disk` wrote, or a folder of Parquet
files. A row holds a pair, in the columns `config.data.column_a` and `column_b`; those of huggan's sets are imageA and
imageB. With `config.data.paired` off the two columns are two sets, or those of the splits trainA and trainB (testA,
testB), which have one column of images, are. What is downloaded or converted is kept in `config.data.dir`, the
library's own cache if that is empty.

A split that the set lacks has a stand-in, as in folders: of a set with `train` alone its pictures serve for val, too,
and there is no test score.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from i2i_jax.data import Unpaired, images
from i2i_jax.data.sources import _pairs
from i2i_jax.errors import BadInput, nearest

if TYPE_CHECKING:
  from datasets import Dataset

VAL = ('validation', 'valid', 'dev')  # what others call val
SHARD = re.compile(r'-\d+-of-\d+.*')  # of train-00000-of-00002.parquet


def source(config: ConfigDict, split: str) -> _pairs.Pairs | Unpaired:
  """The rows of a split, or without pairs its two sets.

  Raises:
    BadInput: the library or the data set is missing, or a column, or a picture in it.
  """
  if not config.path:
    raise BadInput('config.data.path is empty: give a data set of the hub, like huggan/facades, or a folder')
  splits = {('val' if name in VAL else name): rows for name, rows in load(config.path, config.dir).items()}
  where = f'config.data.path = {config.path}'
  if not config.paired and (found := two_splits(splits)):
    name = _pairs.serving(split, found, where)
    column = config.column_a if config.column_a in found[name]['a'].column_names else 'image'
    columns, rows = dict.fromkeys('ab', column), found[name]
  else:
    name = _pairs.serving(split, splits, where)
    columns, rows = {'a': config.column_a, 'b': config.column_b}, dict.fromkeys('ab', splits[name])
  sides = {side: files_of(rows[side], columns[side], where) for side in 'ab'}

  def picture(index: int, side: str, channels: int) -> tuple[Any, str]:
    file = sides[side][index][columns[side]]
    path = Path(config.path, name, f'{columns[side]} of row {index}')
    data, place = (file['bytes'], file['path']) if isinstance(file, dict) else (file, None)
    if data is None and place is None:
      raise BadInput(f'{path}: there is no picture, and a pair needs two; config.data.paired=False for two sets')
    return images.read(path if place is None or data else Path(place), channels, data=data), f'{index:05d}'

  read = _pairs.sided(config, picture)
  fingerprint = '-'.join(dict.fromkeys(rows[side]._fingerprint for side in 'ab'))
  if config.paired:
    return _pairs.Pairs(range(len(rows['a'])), read, fingerprint)
  items = {side: filled(rows[side], columns[side]) for side in 'ab'}
  a, b = (items[side] for side in config.direction)
  return Unpaired(a, b, read, f'{fingerprint}-unpaired')


def load(path: str, folder: str) -> 'dict[str, Dataset]':
  """The splits of a data set by name; `folder` is for what is made of it. Raises BadInput where it cannot be had."""
  try:
    import datasets
  except ModuleNotFoundError:
    raise BadInput("config.data.name = hub needs the library datasets: pip install -e '.[hub]'") from None
  root, options = Path(path).expanduser(), {'cache_dir': folder or None}
  try:
    if (root / 'dataset_dict.json').is_file():
      return dict(datasets.load_from_disk(str(root)))
    if (root / 'state.json').is_file():
      return {'train': datasets.load_from_disk(str(root))}
    if root.is_dir():
      return dict(datasets.load_dataset('parquet', data_files=parquet_files(root), **options))
    return dict(datasets.load_dataset(path, **options))
  except BadInput:
    raise
  except Exception as error:  # of the hub, the network, damaged files: the library raises what it likes
    reason = ' '.join(str(error).split())[:300]
    raise BadInput(f'config.data.path = {path}: neither a folder here nor a set that loads: {reason}') from None


def parquet_files(root: Path) -> dict[str, list[str]]:
  """The Parquet files of a folder by split, as its files or folders are named: train-00000-of-00002, train/0000.

  Raises:
    BadInput: there are none.
  """
  splits: dict[str, list[str]] = {}
  for file in sorted(root.rglob('*.parquet')):
    split = file.parent.name if file.stem.isdigit() and file.parent != root else SHARD.sub('', file.stem)
    splits.setdefault(split, []).append(str(file))
  if not splits:
    raise BadInput(f'config.data.path: {root} holds no Parquet files, nor what save_to_disk writes')
  return splits


def two_splits(splits: 'dict[str, Dataset]') -> 'dict[str, dict[str, Dataset]]':
  """{'train': {'a': the split trainA, 'b': trainB}, ...} of a set whose splits are named so; else nothing."""
  names = [name for name in _pairs.STAND_INS if {f'{name}A', f'{name}B'} <= splits.keys()]
  return {name: {side: splits[f'{name}{side.upper()}'] for side in 'ab'} for name in names}


def files_of(rows: 'Dataset', column: str, where: str) -> 'Dataset':
  """A split's column alone, its pictures as the bytes of their files. Raises BadInput where it is no such column."""
  import datasets

  if column not in rows.column_names:
    known = nearest(column, rows.column_names)
    raise BadInput(f'{where}: no column {column!r}; set config.data.column_a and column_b: {known}')
  feature = rows.features[column]
  if isinstance(feature, datasets.Image):
    return rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
  if feature == datasets.Value('binary') or (isinstance(feature, dict) and {'bytes', 'path'} <= feature.keys()):
    return rows.select_columns([column])
  raise BadInput(f'{where}: the column {column!r} holds {feature}, and no pictures')


def filled(rows: 'Dataset', column: str) -> list[int]:
  """The rows that have a picture in a column: the shorter of two sets ends in empty ones."""
  batches = rows.select_columns([column]).with_format('arrow').iter(batch_size=1000)
  there = (ok.as_py() for batch in batches for ok in batch.column(column).is_valid())
  return [index for index, ok in enumerate(there) if ok]
