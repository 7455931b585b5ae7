"""U-GAT-IT on the Earth without pairs: maps of elevations and pictures of land from other parts of the globe.

  python -m i2i_jax.train --config=configs/ugatit_earth.py:task=relief,size=64 --workdir=runs/ugatit

Arguments: task (relief, satellite or map), size (64, 128 or 256 px), light (the style from the map's mean: 10.6
instead of 279 million parameters a generator at 256 px), runlocal (ends within a minute).
"""

from configs import common


def get_config(arg: str = ''):
  """The nets, weights and optimizer of the paper; at 64 and 128 px small light nets and batches of 4."""
  args = common.parse_arg(arg, task='relief', size=64, light=False, runlocal=False)
  config = common.get_config()
  config.method = 'ugatit'
  common.use_earth(config, args.task, args.size)
  config.data.paired = False
  config.data.load_size = (args.size * 286 // 256,) * 2
  config.gen.update({'name': 'ugatit', 'norm': 'instance', 'blocks': 4, 'dropout': 0.0, 'light': args.light})
  config.gen.padding = 'reflect'
  config.disc.update({'name': 'ugatit', 'layers': 7, 'norm': 'none', 'spectral_norm': True})
  config.loss.update({'gan': 'lsgan', 'identity': 1.0, 'cam': 1000.0})  # identity is by the cycle's weight, 10
  config.optim.update({'lr': 1e-4, 'weight_decay': 1e-4, 'per_epoch': False})
  config.pool = 0
  config.steps = 1_000_000
  if args.size < 256:
    config.gen.update({'width': 16, 'light': True})
    config.disc.update({'layers': 5, 'width': 16})
    config.steps = 1500
    config.batch_size = 4
    config.optim.lr = 4e-4
    config.ema = 0.995
    config.log_every = 10
    config.eval_every = config.checkpoint_every = 250
  if args.runlocal:
    config.steps = 10
    config.batch_size = 2
    config.gen.update({'width': 4, 'blocks': 1})
    config.disc.update({'width': 4})
    config.log_every = config.eval_every = config.checkpoint_every = 5
  return config
