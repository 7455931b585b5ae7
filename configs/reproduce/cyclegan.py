"""CycleGAN as published: its sets, each for 200 epochs of the larger side. Zhu et al., ICCV 2017.

  i2i train --config=reproduce/cyclegan:set=horse2zebra,path=horse2zebra --workdir=runs/h2z         # unzipped
  i2i train --config=reproduce/cyclegan:set=horse2zebra,data=cycle_gan --workdir=runs/h2z           # by TFDS
  i2i evaluate --workdir=runs/h2z --protocol=cut --weights=pt_inception-2015-12-05-6726825d.pth

NOT YET REPRODUCED HERE: nobody has run these to their end, and no number below is this project's.

  set                     images in trainA, trainB  updates
  horse2zebra                         1,067  1,334    266,800
  apple2orange                          995  1,019    203,800
  summer2winter_yosemite              1,231    962    246,200
  monet2photo                         1,072  6,287  1,257,400
  cezanne2photo                         525  6,287  1,257,400
  ukiyoe2photo                          562  6,287  1,257,400
  vangogh2photo                         400  6,287  1,257,400
  iphone2dslr_flower                  1,812  3,325    665,000
  maps (aerial, map)                  1,096  1,096    219,200
  cityscapes (photo, labels)          2,975  2,975    595,000
  facades (photo, labels)               400    400     80,000

Counts are those of the files (TFDS's catalogue); the authors' README has fewer horses and zebras. 9 blocks at 256 px,
batch 1, pool of 50, 100 epochs at 2e-4 and 100 in which the rate falls, as in pytorch-CycleGAN-and-pix2pix. The
identity loss is 0.5 of the cycle's, that code's default for all sets; --config.loss.identity=0 leaves it out.

Published FID, of the authors' weights / of mmagic's training (its README, protocol mmagic): horse2zebra 62.1 / 64.5,
without identity loss 77.2 / 74.8; zebra2horse 138.6 / 141.2; summer2winter 77.3 / 83.7; winter2summer 72.6 / 72.8;
facades 123.6 / 124.8. UNSB's table (protocol cut; FID / KID x100): horse2zebra 77.2 / 1.957, labels to city 76.3 /
3.532, summer2winter 84.9 / 1.022, map to aerial 54.6 / 3.430.

The way back is scored with --direction=ba.

Arguments: set; data (folder, or cycle_gan, tarball, hub); path; direction; runlocal.
"""

from i2i_jax import fields
from i2i_jax.config import load
from i2i_jax.errors import choice

EPOCHS = 200
SETS = {  # training images of A and of B
  'horse2zebra': (1067, 1334),
  'apple2orange': (995, 1019),
  'summer2winter_yosemite': (1231, 962),
  'monet2photo': (1072, 6287),
  'cezanne2photo': (525, 6287),
  'ukiyoe2photo': (562, 6287),
  'vangogh2photo': (400, 6287),
  'iphone2dslr_flower': (1812, 3325),
  'maps': (1096, 1096),
  'cityscapes': (2975, 2975),
  'facades': (400, 400),
}


def get_config(arg: str = ''):
  """The paper's nets and losses, which `cyclegan` has for images of 256 px, for as long as the paper trained."""
  args = fields.parse_arg(arg, **{**fields.DATA, 'data': 'folder', 'set': 'horse2zebra'})
  counts = SETS[choice("argument 'set'", args.set, SETS)]
  given = f'task={args.set}' if args.data == 'cycle_gan' else f'path={args.path},direction={args.direction or "ab"}'
  config = load([f'--config=cyclegan:data={args.data},{given}{",runlocal" if args.runlocal else ""}']).unlock()
  if not args.runlocal:
    config.steps = EPOCHS * max(counts)
    config.eval_every = config.checkpoint_every = config.steps // 40
  return config
