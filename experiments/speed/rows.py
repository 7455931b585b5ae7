"""The rows of the speed table: which step of which nets, at which size. `python -m experiments.speed` runs them."""

from typing import NamedTuple

from i2i_jax import fields


class Row(NamedTuple):
  """One kind of work; the nets, losses and batch norm or instance norm are the paper's."""

  kind: str  # train, translate, or input: the pipeline from Earth tiles to batches
  title: str
  method: str = 'pix2pix'
  size: int = 256  # pixels, height and width
  batch: int = 1
  blocks: int = 9  # of CycleGAN's generator
  gen: dict | None = None  # changes to config.gen
  disc: dict | None = None
  precision: str = 'float32'
  usual: bool = True  # False: only where it is asked for, or on a GPU


ROWS = {
  'pix2pix_256': Row('train', 'pix2pix 256 px, batch 1'),
  'pix2pix_128x4': Row('train', 'pix2pix 128 px, batch 4', size=128, batch=4),
  'cyclegan_128': Row('train', 'CycleGAN 128 px, batch 1, 6 blocks', 'cyclegan', size=128, blocks=6),
  'cyclegan_256': Row('train', 'CycleGAN 256 px, batch 1, 9 blocks', 'cyclegan'),
  'translate_resnet_256': Row('translate', 'translate, ResNet-9 256 px, batch 1', 'cyclegan'),
  'translate_unet_256': Row('translate', 'translate, U-Net 256 px, batch 1'),
  'input_256': Row('input', 'input pipeline, Earth 256 px, batch 1'),
  # On request. Small nets, and a row to try the table with.
  'cyclegan_64_small': Row(
    'train',
    'CycleGAN 64 px, batch 4, width 24, 4 blocks',
    'cyclegan',
    size=64,
    batch=4,
    blocks=4,
    gen={'width': 24},
    disc={'width': 32, 'layers': 2},
    usual=False,
  ),
  'tiny': Row('train', 'pix2pix 32 px, width 8', size=32, gen={'width': 8}, disc={'width': 8}, usual=False),
}
ROWS |= {
  f'{name}_bf16': row._replace(title=f'{row.title}, bfloat16', precision='bfloat16', usual=False)
  for name, row in ROWS.items()
  if row.kind != 'input'
}
# Larger batches, at which a GPU is busy.
ROWS |= {
  name: Row('train', f'pix2pix 256 px, batch 16{title}', batch=16, precision=precision, usual=False)
  for name, title, precision in (
    ('pix2pix_256x16', '', 'float32'),
    ('pix2pix_256x16_bf16', ', bfloat16', 'bfloat16'),
  )
}


def usual(gpu: bool) -> list[str]:
  """The rows that are run if none are named."""
  return [name for name, row in ROWS.items() if row.usual or (gpu and 'tiny' not in name and 'small' not in name)]


def config(row: Row):
  """The locked config of a row. The image is drawn for the row; only `input` opens a data set."""
  made = fields.defaults()
  made.method = row.method
  made.batch_size = row.batch
  made.precision = row.precision
  made.data.update({'size': row.size, 'crop_size': (row.size, row.size), 'load_size': (row.size * 9 // 8,) * 2})
  made.data.flip = False
  made.gen.depth = row.size.bit_length() - 1
  if row.method == 'cyclegan':
    made.loss.gan = 'lsgan'
    made.data.paired = False
    made.gen.update({'name': 'resnet', 'norm': 'instance', 'padding': 'reflect', 'dropout': 0.0})
    made.gen.blocks, made.disc.norm = row.blocks, 'instance'
  made.gen.update(row.gen or {})
  made.disc.update(row.disc or {})
  return made.lock()
