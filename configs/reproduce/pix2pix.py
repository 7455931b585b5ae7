"""pix2pix as published: six sets, their directions and schedules. Isola et al., CVPR 2017.

  i2i train --config=reproduce/pix2pix:set=facades,path=facades.tar.gz --workdir=runs/facades
  i2i evaluate --workdir=runs/facades --protocol=mmagic --weights=pt_inception-2015-12-05-6726825d.pth

NOT YET REPRODUCED HERE: nobody has run these to their end, and no number below is this project's.

  set             input to output         direction  training pairs  epochs  batch  jitter, mirrored  updates
  facades         labels to photo         ba                    400     200      1  yes                80,000
  maps            aerial photo to map     ab                  1,096     200      1  yes               219,200
  cityscapes      labels to photo         ba                  2,975     200      1  yes               595,000
  edges2shoes     edges to photo          ab                 49,825      15      4  no                186,840
  edges2handbags  edges to photo          ab                138,567      15      4  no                519,615
  night2day       day to night            ba                 17,823     200      1  yes             3,564,600

Pairs are those in the tar files; maps and cityscapes go the other way too, direction=ba and ab. 200 epochs are 100 at
2e-4 and 100 in which the rate falls to 0, as in pytorch-CycleGAN-and-pix2pix; over 15 it is constant, as in the
authors' Torch code, which has no falling rate. No jitter and no mirroring for edges: as in mmagic's config of
edges2shoes; edges2handbags is taken to be like it. For night2day the Torch code's defaults stand here, since its code
does not say for how many epochs the paper trained it; that A is night goes by the set's name.

Published, FID by the protocol mmagic (its README), of the authors' weights / of its own training: facades 119.1 /
125.0, aerial to map 149.7 / 122.6, map to aerial 102.1 / 88.5, edges2shoes 75.8 / 84.4. Cityscapes, labels to photo:
FCN scores 0.66 / 0.23 / 0.17 (pixel and class accuracy, IoU; the paper's table 1), by a net that is not part of this
project. Of edges2handbags and night2day no number is known to us.

Arguments: set; data (tarball, or folder, hub); path; direction, in place of the set's own; runlocal.
"""

from typing import NamedTuple

from i2i_jax import fields
from i2i_jax.config import load
from i2i_jax.errors import choice


class Published(NamedTuple):
  direction: str
  pairs: int  # for training
  epochs: int
  batch_size: int
  jitter: bool  # enlarged by 286 / 256, cropped, and half of them mirrored


SETS = {
  'facades': Published('ba', 400, 200, 1, True),
  'maps': Published('ab', 1096, 200, 1, True),
  'cityscapes': Published('ba', 2975, 200, 1, True),
  'edges2shoes': Published('ab', 49_825, 15, 4, False),
  'edges2handbags': Published('ab', 138_567, 15, 4, False),
  'night2day': Published('ba', 17_823, 200, 1, True),
}


def get_config(arg: str = ''):
  """The paper's nets and losses, which `pix2pix` has for images of 256 px, and what it has for each set."""
  args = fields.parse_arg(arg, **{**fields.DATA, 'data': 'tarball', 'set': 'facades'})
  of = SETS[choice("argument 'set'", args.set, SETS)]
  given = f'data={args.data},path={args.path},direction={args.direction or of.direction}'
  config = load([f'--config=pix2pix:{given}{",runlocal" if args.runlocal else ""}']).unlock()
  if not of.jitter:
    config.data.update({'load_size': config.data.crop_size, 'flip': False})
  if of.epochs < 200:
    config.optim.schedule = 'constant'
  if not args.runlocal:
    config.batch_size = of.batch_size
    config.steps = of.epochs * (of.pairs // of.batch_size)
    config.eval_every = config.checkpoint_every = config.steps // 40
  return config
