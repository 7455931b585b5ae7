"""CycleGAN on your own images, with the nets and settings of the paper.

  python -m i2i_jax.train --config=configs/cyclegan_folder.py:path=FOLDER --workdir=runs/mine

FOLDER holds trainA/ and trainB/, and testA/ and testB/, with any counts of images of any sizes. Arguments: path, size
(256 px), runlocal.

The paper trains 200 epochs: --config.steps = 200 x images in the larger folder / batch size.
"""

from configs import common
from configs.cyclegan_earth import use_nets


def get_config(arg: str = ''):
  """9 residual blocks at 256 px and more, 6 below; the paper's weights, pool and schedule."""
  args = common.parse_arg(arg, path='', size=256, runlocal=False)
  config = common.get_config()
  config.method = 'cyclegan'
  config.data.update({'name': 'folders', 'path': args.path, 'paired': False})
  config.data.crop_size = (args.size, args.size)
  config.data.load_size = (round(args.size * 286 / 256),) * 2
  config.loss.gan = 'lsgan'
  config.steps = 200_000
  use_nets(config, blocks=9 if args.size >= 256 else 6)
  if args.runlocal:
    config.data.crop_size, config.data.load_size = (64, 64), (72, 72)
    config.steps = 10
    config.gen.update({'width': 4, 'blocks': 1})
    config.disc.update({'width': 4})
    config.log_every = config.eval_every = config.checkpoint_every = 5
  return config
