"""CycleGAN: two sets of pictures without partners. Zhu et al., ICCV 2017.

  i2i train --config=cyclegan:task=relief --workdir=runs/unpaired                  # parts of the Earth that differ
  i2i train --config=cyclegan:data=folder,path=FOLDER --workdir=runs/mine          # your own pictures
  i2i train --config=cyclegan:data=cycle_gan,task=horse2zebra --workdir=runs/h2z   # a set of TFDS
  i2i evaluate --workdir=runs/unpaired                                             # and with --direction=ba

On the Earth at 64 px, relief, 2 CPU cores: half an hour; test PSNR
22.25 dB from elevation to relief, 15.07 dB back (seed 0).

FOLDER holds trainA/ and trainB/, and testA/ and testB/, with any counts of images of any sizes. The paper trains 200
epochs: --config.steps = 200 x images in the larger folder / batch size.

Arguments: data (earth, folder, cycle_gan, or as docs/datasets.md says tarball, hub, night, emoji); task (earth:
relief, satellite or map; cycle_gan: the set); path, direction (ab or ba; of the others); size (px; earth: 64, 128 or
256, default 64, as of night and emoji; else 256); runlocal (ends within a minute).
"""

from i2i_jax import fields


def get_config(arg: str = ''):
  """The paper's nets, weights and pool, 9 residual blocks from 256 px on, 6 below; small nets on the Earth."""
  args = fields.parse_arg(arg, **fields.DATA)
  config = fields.defaults()
  config.method = 'cyclegan'
  fields.use_data(config, args, paired=False)
  config.loss.gan = 'lsgan'
  config.gen.update({'name': 'resnet', 'norm': 'instance', 'padding': 'reflect', 'dropout': 0.0})
  config.gen.blocks = 9 if args.size >= 256 else 6
  config.disc.norm = 'instance'
  config.steps = 100_000 if args.data == 'earth' else 200_000
  if fields.is_small(args):
    fields.use_small(config, batch_size=4, lr=4e-4)
    config.data.load_size = config.data.crop_size  # enlarged ones are blurred, and teach blur
    # The paper's net works at a quarter of the sides, which blurs tiles; transposed convolutions leave a grid.
    config.gen.update({'name': 'unet', 'depth': args.size.bit_length() - 1, 'max_width': 128, 'upsample': 'nearest'})
    config.disc.update({'width': 32, 'layers': 2})
    config.steps = 2500
  if args.runlocal:
    fields.use_runlocal(config)
  return config
