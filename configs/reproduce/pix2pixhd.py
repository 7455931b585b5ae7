"""pix2pixHD as published, but for its VGG term: Cityscapes' label images in, photos out. Wang et al., CVPR 2018.

  i2i train --config=reproduce/pix2pixhd:path=cityscapes --workdir=runs/512p
  i2i train --config=reproduce/pix2pixhd:path=cityscapes,local=1 --workdir=runs/1024p --init_from=runs/512p
  i2i evaluate --workdir=runs/1024p

NOT YET REPRODUCED HERE: nobody has run these to their end.

  stage    images, px   epochs                                                    updates
  local=0  1024 x 512   100, and 100 in which the rate falls                      595,000
  local=1  2048 x 1024  50, and 50; the global net is held fixed for the first 10  297,500

`path` is a folder with train_label/, train_inst/ and train_img/ (2,975 files each, gtFine's labelIds and instanceIds
and leftImg8bit), and the same of val_ or test_. 35 labels and the edges of instances are 36 channels; batch 1,
mirrored, no crop: scripts/train_512p.sh and train_1024p_24G.sh of NVIDIA/pix2pixHD and its options.

Left out is the perceptual loss by VGG-19, whose weights do not come with this project (`--no_vgg_loss` there): the
paper's numbers are not to be expected. They are scores by a segmentation net, which is not part of this project
either, and are not repeated here.

Arguments: path; local (0 or 1); runlocal.
"""

from i2i_jax import fields
from i2i_jax.config import load

PHOTOS = 2975  # in Cityscapes' training split


def get_config(arg: str = ''):
  """The settings of `pix2pixhd`, at the paper's two sizes and for as long as it trained."""
  args = fields.parse_arg(arg, path='', local=0, runlocal=False)
  given = f'data=labels,path={args.path},local={args.local},runlocal={args.runlocal}'
  config = load([f'--config=pix2pixhd:{given}']).unlock()
  if not args.runlocal:
    height = 1024 if args.local else 512
    config.data.crop_size = config.data.load_size = (height, 2 * height)
    config.steps = (100 if args.local else 200) * PHOTOS
    config.gen.freeze_global_steps = 10 * PHOTOS if args.local else 0
    config.eval_every = config.checkpoint_every = config.steps // 40
  return config
