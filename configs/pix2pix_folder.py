"""pix2pix on your own images, with the nets and settings of the paper.

  python -m i2i_jax.train --config=configs/pix2pix_folder.py:path=FOLDER --workdir=runs/mine

FOLDER holds train/ and val/ or test/ with pictures that show A and B side by side, or trainA/, trainB/, testA/,
testB/ with partners of the same name. Arguments: path, size (256 px), direction (ab or ba), runlocal.

The paper trains 200 epochs: --config.steps = 200 x number of training images / batch size. Gray images:
--config.data.channels_a=1 or channels_b=1.
"""

from configs import common


def get_config(arg: str = ''):
  """The settings of pix2pix at any size that a U-Net halves down to one pixel."""
  args = common.parse_arg(arg, path='', size=256, direction='ab', runlocal=False)
  config = common.get_config()
  config.data.name = 'folders'
  config.data.path = args.path
  config.data.direction = args.direction
  config.data.crop_size = (args.size, args.size)
  config.data.load_size = (round(args.size * 286 / 256),) * 2
  config.gen.depth = max(1, args.size.bit_length() - 1)  # 8 at 256 px, 7 at 128 px: down to one pixel
  config.steps = 80_000
  if args.runlocal:
    config.steps = 20
    config.data.crop_size, config.data.load_size = (64, 64), (72, 72)
    config.gen.depth = 6
    config.gen.width = config.disc.width = 8
    config.gen.max_width = 16
    config.log_every = 5
    config.eval_every = config.checkpoint_every = 10
  return config
