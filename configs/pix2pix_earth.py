"""pix2pix on the Earth: a map of elevations in, a picture of the land out.

  python -m i2i_jax.train --config=configs/pix2pix_earth.py:task=relief,size=64 --workdir=runs/x

64 px, 2 CPU cores: 3 minutes a task; test PSNR relief 26.09, satellite 16.45, map 15.33 dB (seed 0).

Arguments: task (relief, satellite or map), size (64, 128 or 256 px), runlocal (ends within a minute).
"""

from configs import common

STEPS = {64: 1500, 128: 2500, 256: 20_000}


def get_config(arg: str = ''):
  """Small nets at 64 and 128 px; at 256 px the nets and settings of the paper."""
  args = common.parse_arg(arg, task='relief', size=64, runlocal=False)
  config = common.get_config()
  common.use_earth(config, args.task, args.size)

  config.steps = STEPS.get(args.size, 1500)
  if args.size < 256:
    config.batch_size = 8
    config.gen.depth = 6 if args.size == 64 else 7
    config.gen.width = 32
    config.gen.max_width = 128
    config.gen.norm = 'instance'
    config.gen.dropout = 0.0
    config.disc.layers = 2
    config.disc.width = 32
    config.disc.norm = 'instance'
    config.loss.gan_weight = 0.3
    config.optim.lr = 5e-4
    config.ema = 0.995
    config.optim.per_epoch = False
    config.eval_every = 250
    config.checkpoint_every = 250
    config.log_every = 10
  if args.runlocal:
    config.steps = 20
    config.batch_size = min(config.batch_size, 4)
    config.gen.width = config.disc.width = 8
    config.gen.max_width = 16
    config.log_every = 5
    config.eval_every = config.checkpoint_every = 10
  return config
