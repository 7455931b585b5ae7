"""pix2pixHD: pairs of large pictures, coarse to fine, judged at several scales. Wang et al., CVPR 2018.

  i2i train --config=pix2pixhd:size=64 --workdir=runs/coarse                       # the Earth
  i2i train --config=pix2pixhd:size=128,local=1 --workdir=runs/fine --init_from=runs/coarse

  i2i train --config=pix2pixhd:data=folder,path=FOLDER,size=512 --workdir=runs/coarse
  i2i train --config=pix2pixhd:data=folder,path=FOLDER,size=1024,local=1 --workdir=runs/fine --init_from=runs/coarse

  i2i train --config=pix2pixhd:data=labels,path=cityscapes --workdir=runs/labels      # label images in, photos out

The first run trains the global net; the second puts a local enhancer around it, for images of twice the size, and
holds the global net fixed for the first tenth of its steps (--config.gen.freeze_global_steps, where you set
--config.steps). FOLDER is laid out as for pix2pix, and the input is a picture, as in the reference with `--label_nc 0
--no_instance`. With data=labels it is a label image: a channel for each of 35 labels and one for the edges of
instances (--config.data.channels_a=36), from train_label/, train_inst/ and train_img/.

Left out of the paper's loss: the VGG-19 perceptual term, whose weights do not come with this project. The paper
trains 100 + 100 epochs, then 50 + 50 with local enhancers: --config.steps = epochs x images / batch size.

Arguments: local (0 or more enhancers); data (earth, folder, labels, or as docs/datasets.md says tarball, hub, night,
emoji); task (earth: relief, satellite or map); path, direction (ab or ba; not the Earth's nor of labels); size (px, a
multiple of 16 x 2^local; earth: 64, 128 or 256, default 64, as of night and emoji; else 512);
runlocal (ends within a minute).
"""

from i2i_jax import fields


def get_config(arg: str = ''):
  """The published nets, losses, order of updates and schedule; small nets for the Earth's tiles of 64 and 128 px."""
  args = fields.parse_arg(arg, local=0, **fields.DATA)
  config = fields.defaults()
  fields.use_data(config, args, paired=True, size=512)
  if args.data != 'earth':
    config.data.load_size = config.data.crop_size  # the paper flips and does not crop
  use_pix2pixhd(config, args.local)
  config.steps = 20_000 if args.data == 'earth' else 100_000
  if fields.is_small(args):
    fields.use_small(config, batch_size=8, lr=4e-4)
    config.gen.update({'width': 24, 'blocks': 4, 'halvings': 2, 'local_blocks': 2})
    config.disc.update({'width': 32, 'layers': 2})
    config.steps = 1500
  if args.runlocal:
    fields.use_runlocal(config)
    config.gen.local_blocks = config.disc.layers = 1
  config.gen.freeze_global_steps = config.steps // 10 if args.local else 0
  return config


def use_pix2pixhd(config, local: int):
  """The published nets, losses, order of updates and schedule, with `local` enhancers."""
  config.order = 'gen_first'
  config.gen.update(
    {'name': 'pix2pixhd', 'norm': 'instance', 'padding': 'reflect', 'dropout': 0.0, 'halvings': 4, 'local': local}
  )
  # Counted from the smallest, as the enhancers are, those of the coarse run are taken over.
  config.disc.update({'norm': 'instance', 'padding': 2, 'scales': 3 if local else 2})
  config.loss.update({'gan': 'lsgan', 'reconstruction_weight': 0.0, 'feature_matching': 10.0})
  config.optim.schedule = 'pix2pixhd'
