"""pix2pixHD on the Earth: coarse to fine, discriminators at two scales, feature matching.

  python -m i2i_jax.train --config=configs/pix2pixhd_earth.py:size=64 --workdir=runs/coarse
  python -m i2i_jax.train --config=configs/pix2pixhd_earth.py:size=128,local=1 --workdir=runs/fine \\
      --init_from=runs/coarse

The first run trains the global net; the second puts a local enhancer around it, for images of twice the size, and
holds the global net fixed for the first tenth of its steps. Small nets up to 128 px, the published ones at 256 px.

Left out of the paper's loss: the VGG-19 perceptual term, whose weights do not come with this project.

Arguments: task (relief, satellite or map), size (64, 128 or 256 px), local (0 or more enhancers), runlocal.
"""

from configs import common


def use_pix2pixhd(config, local: int):
  """The published nets, losses and order of updates; `local` enhancers freeze the global net for a tenth."""
  config.method = 'pix2pix'
  config.order = 'gen_first'
  config.gen.update(
    {'name': 'pix2pixhd', 'norm': 'instance', 'padding': 'reflect', 'dropout': 0.0, 'halvings': 4, 'local': local}
  )
  # Counted from the smallest, as the enhancers are, those of the coarse run are taken over.
  config.disc.update({'norm': 'instance', 'padding': 2, 'scales': 3 if local else 2})
  config.loss.update({'gan': 'lsgan', 'l1': 0.0, 'feature_matching': 10.0})
  config.optim.schedule = 'pix2pixhd'


def get_config(arg: str = ''):
  """The published settings at 256 px; smaller nets and batches of 8 below."""
  args = common.parse_arg(arg, task='relief', size=64, local=0, runlocal=False)
  config = common.get_config()
  common.use_earth(config, args.task, args.size)
  use_pix2pixhd(config, args.local)
  config.steps = 20_000
  if args.size < 256:
    config.batch_size = 8
    config.gen.update({'width': 24, 'blocks': 4, 'halvings': 2, 'local_blocks': 2})
    config.disc.update({'width': 32, 'layers': 2})
    config.ema = 0.995
    config.steps = 1500
    config.optim.update({'lr': 4e-4, 'per_epoch': False})
    config.log_every = 10
    config.eval_every = config.checkpoint_every = 250
  if args.runlocal:
    config.steps = 10
    config.batch_size = 2
    config.gen.update({'width': 4, 'blocks': 1, 'local_blocks': 1})
    config.disc.update({'width': 4, 'layers': 1})
    config.log_every = config.eval_every = config.checkpoint_every = 5
  config.gen.freeze_global_steps = config.steps // 10 if args.local else 0
  return config
