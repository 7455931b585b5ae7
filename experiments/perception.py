"""What does a discriminator buy? PSNR against perceptual scores as its weight and L1's move.

An ideal regressor has the best PSNR and blurs what the input does not tell; a better look costs PSNR (Blau and
Michaeli, The Perception-Distortion Tradeoff, CVPR 2018). Reliefs follow from the map of elevations nearly, satellite
pictures only in part, and from a copy of themselves that is four times smaller all but the detail:

  i2i sweep --experiment=experiments/perception.py --workdir=runs/perception --seeds=3 --jobs=2
  i2i sweep --experiment=experiments/perception.py --workdir=runs/perception_satellite --seeds=3 --jobs=2 \\
      --config.data.task=satellite
  i2i sweep --experiment=experiments/perception.py --workdir=runs/perception_superres --seeds=3 --jobs=2 \\
      --config.data.task=satellite --config.data.degrade='superres(4)' --config.gen.residual=True
"""

CONFIG = 'pix2pix:task=relief,size=64'
FIELDS = {'steps': 800, 'eval_every': 100, 'data.load_size': (72, 72), 'gen.width': 32, 'loss.gan_weight': 0.3}
PROTOCOL = 'lite0'
SHOW = ('psnr', 'lpips_lite0', 'kd_lite0', 'swd', 'energy_1', 'grid')


def sweep():
  """From regression to a discriminator almost alone: its weight rises, then that of L1 falls."""
  yield 'regression', {'loss.gan': 'none'}
  for weight in (0.3, 1.0, 3.0):
    yield f'gan-{weight:g}', {'loss.gan_weight': weight}
  yield 'l1-10', {'loss.gan_weight': 1.0, 'loss.reconstruction_weight': 10.0}
