"""Does it help to judge, compare or generate at several scales?

From a map of elevations to a shaded relief, 64 px, on the axes of pix2pixHD and others, one at a time: two or three
discriminators on a pyramid of images; matching the discriminator's features; an L1 between Laplacian pyramids; the
generator's smaller side outputs compared with the smaller target; and a generator made coarse to fine, of a global
net at half the size and a local enhancer. All generators cost the same operations an image; what discriminators and
losses cost besides is in the table's update.

  i2i sweep --experiment=experiments/multiscale.py --workdir=runs/multiscale --seeds=3 --jobs=2
"""

CONFIG = 'pix2pix:task=relief,size=64'
PROTOCOL = 'lite0'
SHOW = ('psnr', 'ssim', 'kd_lite0', 'swd', 'energy_1')
MATCH = 'flops'
FIELDS = {
  'steps': 400,
  'eval_every': 100,
  'data.load_size': (72, 72),
  'loss.gan_weight': 0.3,
  'gen.name': 'resnet',
  'gen.padding': 'reflect',
  'gen.width': 10,
  'gen.blocks': 3,
  'disc.width': 16,
  'ema': 0.98,
}
COMPARE = [('pix2pixhd', 'coarse-to-fine')]


def sweep():
  """One axis at a time, then those of pix2pixHD together."""
  yield 'single-scale', {}
  yield 'disc-2-scales', {'disc.scales': 2}
  yield 'disc-3-scales', {'disc.scales': 3}
  yield 'feature-matching', {'loss.feature_matching': 10.0}
  yield 'laplacian', {'loss.laplacian': 100.0, 'loss.laplacian_levels': 3}
  yield 'side-outputs', {'gen.side_outputs': 2, 'loss.side_outputs': 100.0}
  yield 'coarse-to-fine', {'gen.name': 'pix2pixhd', 'gen.local': 1, 'gen.local_blocks': 1}
  yield (
    'pix2pixhd',
    {
      'gen.name': 'pix2pixhd',
      'gen.local': 1,
      'gen.local_blocks': 1,
      'disc.scales': 2,
      'loss.feature_matching': 10.0,
    },
  )
