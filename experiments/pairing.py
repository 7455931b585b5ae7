"""How many wrong pairs does pix2pix bear before CycleGAN, which needs no pairs, is the better choice?

From a map of elevations to a shaded relief, 64 px. A share of the training pairs is given another tile's target, at
random but the same all through a run: 0, 10, 30, 60 and 100%. CycleGAN draws its two images independently, so a wrong
pair means nothing to it; it learns from the same tiles. Both have the same generator (CycleGAN has two of them) and
as many steps, of half the batch in CycleGAN: a step of it costs about twice as much all the same. The pairs of
validation and test are right.

  i2i sweep --experiment=experiments/pairing.py --workdir=runs/pairing --seeds=3 --jobs=2
"""

CONFIG = 'pix2pix:task=relief,size=64'
PROTOCOL = 'lite0'
SHOW = ('psnr', 'ssim', 'kd_lite0', 'swd', 'energy_1')
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
COMPARE = [('cyclegan', 'pix2pix-60'), ('cyclegan', 'pix2pix-100')]


def sweep():
  """pix2pix with more and more wrong pairs; then CycleGAN, to which all pairs are wrong ones."""
  yield 'pix2pix-0', {}
  yield 'pix2pix-10', {'data.wrong_pairs': 0.1}
  yield 'pix2pix-30', {'data.wrong_pairs': 0.3}
  yield 'pix2pix-60', {'data.wrong_pairs': 0.6}
  yield 'pix2pix-100', {'data.wrong_pairs': 1.0}
  yield (
    'cyclegan',
    {
      'method': 'cyclegan',
      'data.wrong_pairs': 1.0,
      'loss.gan': 'lsgan',
      'loss.gan_weight': 1.0,
      'batch_size': 4,
      'optim.lr': 4e-4,
    },
  )
