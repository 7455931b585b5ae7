"""TFDS's cycle_gan sets (horse2zebra, maps, monet2photo, ...): `config.data.task` names one, `paired` is off.

Downloading and preparing one needs TensorFlow, the extra [tfds]; reading what is prepared does not. It is kept in
`config.data.dir`, TFDS's own folder if that is empty. Their test splits have no pairs either.
"""

import importlib.util

import tensorflow_datasets as tfds
from ml_collections import ConfigDict

from i2i_jax.data import Unpaired
from i2i_jax.errors import BadInput, nearest

SPLITS = {'train': 'train', 'val': 'test', 'test': 'test'}


def source(config: ConfigDict, split: str) -> Unpaired:
  """The images of `{split}A` and `{split}B`. Raises BadInput: no such set, or not prepared and no TensorFlow."""
  if config.paired:
    raise BadInput('config.data.paired: the cycle_gan sets have no pairs, set it to False')
  try:
    builder = tfds.builder(f'cycle_gan/{config.task}', data_dir=config.dir or None, file_format='array_record')
  except ValueError:
    known = [c.name for c in tfds.builder_cls('cycle_gan').BUILDER_CONFIGS]
    raise BadInput(f'config.data.task = {config.task!r} is no cycle_gan set: {nearest(config.task, known)}') from None
  if not builder.data_path.exists():
    if not importlib.util.find_spec('tensorflow'):
      raise BadInput(
        f'cycle_gan/{config.task} is not in {builder.data_path}, and to download it TFDS needs TensorFlow: '
        "pip install -e '.[tfds]'"
      )
    builder.download_and_prepare()
  sides = {side: builder.as_data_source(split=f'{SPLITS[split]}{side.upper()}') for side in 'ab'}
  return Unpaired(
    range(len(sides['a'])),
    range(len(sides['b'])),
    lambda index, side: (sides[side][index]['image'], f'{side}{index:05d}'),
    f'{builder.info.full_name}-{split}-{len(sides["a"])}-{len(sides["b"])}',
  )
