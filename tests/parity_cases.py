"""What make_goldens.py and test_parity.py must agree on: nets, and weights and images drawn from NumPy.

Everything is drawn by name from NumPy's frozen generator, so that the goldens hold results only. Arrays are in
PyTorch's layout, [B, C, H, W], and float64.
"""

import math
import zlib

import numpy as np

UNET = {'name': 'unet', 'norm': 'batch', 'dropout': 0.0}
RESNET = {'name': 'resnet', 'width': 2, 'dropout': 0.0, 'padding': 'reflect'}
PATCHGAN = {'name': 'patchgan', 'width': 2}

# Name: (config.gen or config.disc, channels out, shape of the input).
NETS = {
  'unet': ({**UNET, 'depth': 5, 'width': 2, 'max_width': 16}, 3, (2, 1, 32, 32)),
  'unet_instance': ({**UNET, 'norm': 'instance', 'depth': 5, 'width': 2, 'max_width': 16}, 1, (1, 3, 32, 64)),
  'resnet_9blocks': ({**RESNET, 'blocks': 9, 'norm': 'instance'}, 3, (1, 3, 24, 20)),
  'resnet_6blocks': ({**RESNET, 'blocks': 6, 'norm': 'instance'}, 2, (2, 3, 16, 24)),
  'resnet_6blocks_batch': ({**RESNET, 'blocks': 6, 'norm': 'batch'}, 3, (2, 1, 20, 16)),
  'patchgan': ({**PATCHGAN, 'layers': 3, 'norm': 'batch'}, 1, (2, 6, 32, 40)),
  'patchgan_instance': ({**PATCHGAN, 'layers': 3, 'norm': 'instance'}, 1, (2, 3, 40, 32)),
  'pixel': ({**PATCHGAN, 'layers': 0, 'norm': 'batch'}, 1, (2, 6, 8, 12)),
  'pixel_instance': ({**PATCHGAN, 'layers': 0, 'norm': 'instance'}, 1, (2, 3, 12, 8)),
}
UNET_256 = ({**UNET, 'depth': 8, 'width': 2, 'max_width': 16}, 3, (1, 3, 256, 256))
EVERY = 8  # pixels of unet_256's output that are kept, each way

# Name: (kernel, stride, padding).
CONVS = {
  'k4s2p1': (4, 2, 1),
  'k4s1p1': (4, 1, 1),
  'k3s2p1': (3, 2, 1),
  'k3s1p1': (3, 1, 1),
  'k7s1p3': (7, 1, 3),
  'k1s1p0': (1, 1, 0),
}
REFLECTED = ('k3s1p1', 'k7s1p3')
# Name: (kernel, output padding), of stride 2 and padding 1.
TRANSPOSED = {'k4s2p1': (4, 0), 'k3s2p1op1': (3, 1)}
CHANNELS = (3, 5)  # of the single layers, in and out
INPUT = (2, CHANNELS[0], 6, 9)

STEPS = 10
EPOCH = 2  # steps; the rate changes between epochs
CONSTANT, DECAYING = 2, 3  # epochs, by the default schedule of 10 steps
SIZE = 32
PIX2PIX = {
  'gen': {**UNET, 'depth': 5, 'width': 2, 'max_width': 16},
  'disc': {**PATCHGAN, 'layers': 3, 'width': 4, 'norm': 'batch'},
  'batch': 2,
}
CYCLEGAN = {
  'gen': {**RESNET, 'blocks': 2, 'norm': 'instance'},
  'disc': {**PATCHGAN, 'layers': 3, 'width': 4, 'norm': 'instance'},
  'batch': 2,
  'pool': 3,
}


def normal(name: str, shape) -> np.ndarray:
  """Standard normal numbers that depend on the name alone."""
  return np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(shape))


def images(name: str, shape) -> np.ndarray:
  """Numbers in [-1, 1]."""
  return np.tanh(normal(name, shape))


def weights(case: str, shapes: dict) -> dict[str, np.ndarray]:
  """A state dict {name: array} that keeps activations near 1; no bias, scale or statistic is at its default."""

  def one(name, shape):
    x = normal(f'{case}/{name}', shape)
    if name.endswith('num_batches_tracked'):
      return np.zeros((), np.int64)
    if name.endswith('running_var'):
      return 0.5 + np.abs(x)
    if len(shape) > 1:
      return x / math.sqrt(math.prod(shape[1:]))
    return 1 + 0.1 * x if name.endswith('weight') else 0.1 * x

  return {name: one(name, tuple(shape)) for name, shape in shapes.items()}


def pool_draws(which: str) -> tuple[np.ndarray, np.ndarray]:
  """[STEPS, batch] each: whether an image is swapped for a stored one, once the pool is full, and for which."""
  x = normal(f'pool/{which}', (2, STEPS, CYCLEGAN['batch']))
  return x[0] > 0, np.floor(np.abs(x[1]) * 1000).astype(np.int32) % CYCLEGAN['pool']
