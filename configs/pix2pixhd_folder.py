"""pix2pixHD on your own images, with the nets and settings of the paper.

  python -m i2i_jax.train --config=configs/pix2pixhd_folder.py:path=FOLDER,size=512 --workdir=runs/coarse
  python -m i2i_jax.train --config=configs/pix2pixhd_folder.py:path=FOLDER,size=1024,local=1 --workdir=runs/fine \\
      --init_from=runs/coarse

FOLDER is laid out as for pix2pix_folder.py. The input is a picture, as in the reference with `--label_nc 0
--no_instance`: maps of labels are not turned into one channel a label, nor are instances' edges added.

Left out of the paper's loss: the VGG-19 perceptual term, whose weights do not come with this project. The paper
trains 100 + 100 epochs, then 50 + 50 with local enhancers, the global net fixed for the first tenth: --config.steps =
epochs x images / batch size, --config.gen.freeze_global_steps.

Arguments: path, size (height and width in px, a multiple of 16 x 2^local), local (0 or 1), direction (ab or ba),
runlocal.
"""

from configs import common
from configs.pix2pixhd_earth import use_pix2pixhd


def get_config(arg: str = ''):
  """The published nets, losses and schedule."""
  args = common.parse_arg(arg, path='', size=512, local=0, direction='ab', runlocal=False)
  config = common.get_config()
  config.data.update({'name': 'folders', 'path': args.path, 'direction': args.direction})
  config.data.crop_size = config.data.load_size = (args.size, args.size)  # the paper flips and does not crop
  use_pix2pixhd(config, args.local)
  config.steps = 100_000
  if args.runlocal:
    config.data.crop_size = config.data.load_size = (64, 64)
    config.steps = 10
    config.gen.update({'width': 4, 'blocks': 1, 'local_blocks': 1})
    config.disc.update({'width': 4, 'layers': 1})
    config.log_every = config.eval_every = config.checkpoint_every = 5
  config.gen.freeze_global_steps = config.steps // 10 if args.local else 0
  return config
