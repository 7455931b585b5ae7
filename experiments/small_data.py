"""A hundred training images: does the discriminator learn them by heart, and does it help to augment what it sees?

From a map of elevations to a satellite picture, 64 px, from 100 tiles alone, each seen 64 times. How far the
discriminator knows them by heart is r_t, the mean sign of its logits on them, of which 1 is the most (`disc/r_t` in
metrics.jsonl, as the discriminator sees them). ADA (Karras et al., NeurIPS 2020) augments them as often as keeps r_t
at 0.6, DiffAugment always. One checkpoint, the last: an earlier one would hide what long training does.

  i2i sweep --experiment=experiments/small_data.py --workdir=runs/small_data --seeds=3
"""

CONFIG = 'pix2pix:task=satellite,size=64'
PROTOCOL = 'lite0'
SHOW = ('psnr', 'lpips_lite0', 'kd_lite0', 'swd', 'energy_1')
FIELDS = {'data.limit': 100, 'steps': 800, 'eval_every': 800, 'gen.width': 32, 'disc.layers': 3, 'samples': 0}
COMPARE = [('ada', 'diffaugment')]


def sweep():
  """Nothing, then both ways to augment."""
  yield 'plain', {}
  yield 'diffaugment', {'diffaugment': 'color,translation,cutout'}
  yield 'ada', {'ada.target': 0.6, 'ada.kimg': 2.0}
