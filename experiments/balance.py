"""What do unequal updates of generator and discriminator do?

The textbooks warn of it: a discriminator that is trained too much leaves its generator without a gradient, one
that is trained too little teaches it nothing. From a map of elevations to a shaded relief, 64 px, with a full weight
of the adversarial loss. G:D is the number of updates of each: in 400 steps at 1:1; at 2:1 the discriminator is
updated every second step, at 1:2 the generator is. `1-2-long` gives the generator as many updates as it has at 1:1.
`adaptive` lets the discriminator pass while more than 80% of its judgements are right. `no-gan` has none.

  i2i sweep --experiment=experiments/balance.py --workdir=runs/balance --seeds=3 --jobs=2
"""

CONFIG = 'pix2pix:task=relief,size=64'
PROTOCOL = 'lite0'
SHOW = ('psnr', 'ssim', 'kd_lite0', 'swd', 'energy_1')
FIELDS = {
  'steps': 400,
  'eval_every': 100,
  'data.load_size': (72, 72),
  'gen.width': 16,
  'gen.max_width': 64,
  'disc.width': 16,
  'loss.gan_weight': 1.0,
  'ema': 0.98,
}
COMPARE = [('1-2-long', '1-2'), ('no-gan', '2-1')]


def sweep():
  """Equal updates, then unequal ones."""
  yield '1-1', {}
  yield '2-1', {'optim.disc_every': 2}
  yield '1-2', {'optim.gen_every': 2}
  yield '1-2-long', {'optim.gen_every': 2, 'steps': 800, 'eval_every': 200}
  yield '1-4', {'optim.gen_every': 4}
  yield 'adaptive', {'optim.adaptive': 0.8}
  yield 'no-gan', {'loss.gan': 'none'}
