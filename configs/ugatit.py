"""U-GAT-IT: two sets of pictures without partners, attended. Kim et al., ICLR 2020.

  i2i train --config=ugatit:task=relief --workdir=runs/ugatit                      # parts of the Earth that differ
  i2i train --config=ugatit:data=folder,path=FOLDER,light --workdir=runs/mine      # your own pictures

FOLDER holds trainA/ and trainB/, and testA/ and testB/, with any counts of images of any sizes.

Arguments: light (the style from the map's mean: 10.6 instead of 279 million parameters a generator at 256 px); data
(earth, folder, cycle_gan, or as docs/datasets.md says tarball, hub, night, emoji); task (earth: relief, satellite or
map; cycle_gan: the set); path, direction (ab or ba; of the others); size (px; earth: 64, 128 or 256, default 64, as
of night and emoji; else 256); runlocal (ends within a minute).
"""

from i2i_jax import fields


def get_config(arg: str = ''):
  """The nets, weights and optimizer of the paper; small light nets for the Earth's tiles of 64 and 128 px."""
  args = fields.parse_arg(arg, light=False, **fields.DATA)
  config = fields.defaults()
  config.method = 'ugatit'
  fields.use_data(config, args, paired=False)
  config.data.load_size = (args.size * 286 // 256,) * 2
  config.gen.update({'name': 'ugatit', 'norm': 'instance', 'blocks': 4, 'dropout': 0.0, 'light': args.light})
  config.gen.padding = 'reflect'
  layers = 7 if args.size >= 256 else 5  # seven halve smaller pictures below 1 px
  config.disc.update({'name': 'ugatit', 'layers': layers, 'norm': 'none', 'spectral_norm': True})
  config.loss.update({'gan': 'lsgan', 'identity': 1.0, 'cam': 1000.0})  # identity is by the cycle's weight, 10
  config.optim.update({'lr': 1e-4, 'weight_decay': 1e-4, 'per_epoch': False})
  config.pool = 0
  config.steps = 1_000_000
  if fields.is_small(args):
    fields.use_small(config, batch_size=4, lr=4e-4)
    config.gen.update({'width': 16, 'light': True})
    config.disc.width = 16
    config.steps = 1500
  if args.runlocal:
    fields.use_runlocal(config)
    config.disc.layers = 5
  return config
