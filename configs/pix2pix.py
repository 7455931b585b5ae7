"""pix2pix: pairs of pictures, one made from the other. Isola et al., CVPR 2017.

  i2i train --config=pix2pix:task=relief --workdir=runs/relief                     # maps of the Earth in, reliefs out
  i2i train --config=pix2pix:data=folder,path=FOLDER --workdir=runs/mine           # your own pairs
  i2i train --config=pix2pix:data=tarball,path=maps.tar.gz --workdir=runs/maps      # a set of the paper

On the Earth at 64 px, 2 CPU cores: 6 minutes a task; test PSNR relief 25.92, satellite 16.64, map 14.93 dB (seed 0).

FOLDER holds train/ and val/ or test/ with pictures that show A and B side by side, or trainA/, trainB/, testA/,
testB/ with partners of the same name. The paper trains 200 epochs: --config.steps = 200 x training images / batch
size. Gray images: --config.data.channels_a=1 or channels_b=1.

Arguments: data (earth, folder, or as docs/datasets.md says tarball, hub, night, emoji, labels); task (earth: relief,
satellite or map); path, direction (ab or ba; not the Earth's); size (px; earth: 64, 128 or 256, default 64, as of
night and emoji; else 256); runlocal (ends within a minute).
"""

from i2i_jax import fields


def get_config(arg: str = ''):
  """The paper's nets and settings; small nets for the Earth's tiles of 64 and 128 px."""
  args = fields.parse_arg(arg, **fields.DATA)
  config = fields.defaults()
  fields.use_data(config, args, paired=True)
  config.gen.depth = max(1, args.size.bit_length() - 1)  # 8 at 256 px, 7 at 128 px: down to one pixel
  config.steps = 20_000 if args.data == 'earth' else 80_000
  if fields.is_small(args):
    fields.use_small(config, batch_size=8, lr=5e-4)
    config.data.load_size = config.data.crop_size  # enlarged ones are blurred, and teach blur
    config.gen.update({'max_width': 128, 'norm': 'instance', 'dropout': 0.0})
    config.disc.update({'layers': 2, 'width': 32, 'norm': 'instance'})
    config.loss.gan_weight = 2.0
    config.steps = 2500
  if args.runlocal:
    fields.use_runlocal(config, steps=20, batch_size=4, width=8)
  return config
