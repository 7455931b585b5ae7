"""Does attention help a small U-Net on the Earth's tiles at equal cost, and which kind, where?

From a map of elevations to a shaded relief, 64 px. The baseline is a U-Net of four stages, whose bottleneck is 4x4
px: places far apart meet in it only through convolutions. Each variant puts one kind of attention at one place (or a
gate on every skip), and its width is scaled until an image costs as many operations as in the baseline: what a block
costs is taken from the convolutions. A block that is better here is worth its operations.

  i2i sweep --experiment=experiments/attention.py --workdir=runs/attention --seeds=3 --jobs=2
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
  'gen.depth': 4,
  'gen.width': 16,
  'gen.max_width': 64,
  'disc.width': 16,
  'ema': 0.98,
}


def sweep():
  """No attention; then weights of channels, of places, and attention between pixels, from fine to coarse maps."""
  yield 'none', {}
  yield 'se-down012', {'gen.attention': {'down0': 'se', 'down1': 'se', 'down2': 'se'}}
  yield 'cbam-skips', {'gen.attention': {f'skip{i}': 'cbam' for i in range(3)}}
  yield 'gate-skips', {'gen.attention': {f'skip{i}': 'gate' for i in range(3)}}
  yield 'sagan-down1', {'gen.attention': {'down1': 'sagan'}}
  yield 'sagan-bottleneck', {'gen.attention': {'bottleneck': 'sagan'}}
  yield 'vit-bottleneck', {'gen.attention': {'bottleneck': 'vit(blocks=2, heads=4)'}}
  yield 'window-down1', {'gen.attention': {'down1': 'window(size=4, heads=4)'}}
