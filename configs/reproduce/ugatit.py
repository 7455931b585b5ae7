"""U-GAT-IT as published: a million updates whatever the set. Kim et al., ICLR 2020.

  i2i train --config=reproduce/ugatit:set=selfie2anime,path=selfie2anime --workdir=runs/s2a
  i2i evaluate --workdir=runs/s2a --protocol=ugatit --weights=pt_inception-2015-12-05-6726825d.pth

NOT YET REPRODUCED HERE: nobody has run these to their end, and no number below is this project's.

The nets, weights, optimizer and sizes are those of the authors' PyTorch code (main.py: 1,000,000 iterations of one
image of each side, rate 1e-4 falling over the second half, weight decay 1e-4; 286 px, cropped to 256 and mirrored).
Their READMEs say that the paper's numbers came from their TensorFlow code, so others may come out.

Published KID x100, U-GAT-IT / CycleGAN in the same table: selfie2anime 11.61 / 13.08, horse2zebra 7.06 / 8.05,
cat2dog 7.07 / 8.92. The paper has more sets; their numbers are left out here.

Arguments: set; light; data (folder, or cycle_gan for horse2zebra, hub); path (a folder with trainA/, trainB/, testA/
and testB/); direction; runlocal.
"""

from i2i_jax import fields
from i2i_jax.config import load
from i2i_jax.errors import choice

SETS = ('selfie2anime', 'horse2zebra', 'cat2dog')


def get_config(arg: str = ''):
  """The settings of `ugatit` at 256 px, which are the published code's."""
  args = fields.parse_arg(arg, light=False, **{**fields.DATA, 'data': 'folder', 'set': 'selfie2anime'})
  name = choice("argument 'set'", args.set, SETS)
  given = f'task={name}' if args.data == 'cycle_gan' else f'path={args.path},direction={args.direction or "ab"}'
  given += f',light={args.light},runlocal={args.runlocal}'
  config = load([f'--config=ugatit:data={args.data},{given}']).unlock()
  if not args.runlocal:
    config.eval_every = config.checkpoint_every = config.steps // 40
  return config
