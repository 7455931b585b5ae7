"""What make_metric_goldens.py and test_references.py must agree on: images, features, and weights of published nets.

All are drawn from NumPy's frozen generator, so that the goldens hold results only.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from i2i_jax import data
from i2i_jax.config import load
from i2i_jax.data import images
from tests.parity_cases import normal

GOLDENS = Path(__file__).parent / 'goldens' / 'metrics.npz'
SIZES = {'small': (2, 64, 80), 'large': (2, 192, 176)}  # of image sets: count, height, width
FILTERS = {'smaller': (400, 333), 'larger': (64, 100)}  # height and width, resized to 299
SETS = {'few': (40, 60, 96), 'many': (300, 250, 64)}  # of features: outputs, targets, features each

# Of torchvision's nets, the shapes of kernels by place: (out, in, height, width).
CONVOLUTIONS = {
  'alex': {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)},
  'vgg': {
    i: (out, into, 3, 3)
    for i, into, out in zip(
      (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
      (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512),
      (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
      strict=True,
    )
  },
}


def pairs(case: str) -> tuple[np.ndarray, np.ndarray]:
  """uint8 outputs and targets [N, H, W, 3]: smooth pictures and what a net might make of them."""
  count, *size = SIZES[case]
  coarse = np.clip(128 + 60 * normal(f'metrics/{case}', (count, 9, 9, 3)), 0, 255).astype(np.uint8)
  real = np.stack([images.resize(x, size) for x in coarse])
  noise = 12 * normal(f'metrics/{case}/noise', real.shape)
  return np.clip(0.9 * real + 8 + noise, 0, 255).astype(np.uint8), real


def picture(case: str) -> np.ndarray:
  """uint8 [H, W, 3], with edges and noise."""
  return np.clip(128 + 70 * normal(f'metrics/{case}', (*FILTERS[case], 3)), 0, 255).astype(np.uint8)


def features(case: str) -> tuple[np.ndarray, np.ndarray]:
  """float32 features [N, D] of outputs and [M, D] of targets, correlated and above zero as after a ReLU."""
  n, m, d = SETS[case]
  mix = normal(f'metrics/{case}/mix', (d, d)) / math.sqrt(d)
  real = np.maximum(normal(f'metrics/{case}/real', (m, d)) @ mix, 0)
  fake = np.maximum(1.1 * normal(f'metrics/{case}/fake', (n, d)) @ mix + 0.1, 0)
  return fake.astype(np.float32), real.astype(np.float32)


def earth(count: int = 500) -> tuple[np.ndarray, np.ndarray]:
  """uint8 reliefs of the Earth, 64 px, blurred and as they are."""
  source = data.get(load(['--config=pix2pix:task=relief,size=64']), 'train')
  real = np.stack([source[i]['b'] for i in data.spread(len(source), count)])
  fake = [np.asarray(Image.fromarray(x).filter(ImageFilter.GaussianBlur(0.8))) for x in real]
  return np.stack(fake), real


def labels() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Colours [5, 3], and label images uint8 [3, 20, 24, 3] of outputs, not quite of those colours, and of targets."""
  rng = np.random.RandomState(0)
  colours = np.array([(0, 0, 0), (255, 0, 0), (0, 200, 80), (40, 40, 255), (255, 255, 255)])
  real = rng.randint(0, 4, (3, 20, 24))
  fake = np.where(rng.rand(*real.shape) < 0.3, rng.randint(0, 5, real.shape), real)
  noise = rng.randint(-20, 21, (*real.shape, 3))
  return colours, np.clip(colours[fake] + noise, 0, 255).astype(np.uint8), colours[real].astype(np.uint8)


def weights(net: str, shapes: dict) -> dict[str, np.ndarray]:
  """A state dict of random weights under which activations neither vanish nor grow."""

  def one(name, shape):
    x = normal(f'{net}/{name}', shape)
    if name.endswith('num_batches_tracked'):
      return np.zeros((), np.int64)
    if name.endswith('running_var'):
      return (1 + 0.2 * np.tanh(x)).astype(np.float32)
    if len(shape) > 1:
      return (x * math.sqrt(2 / math.prod(shape[1:]))).astype(np.float32)
    return (1 + 0.1 * x if name.endswith('.weight') else 0.1 * x).astype(np.float32)

  return {name: one(name, tuple(shape)) for name, shape in shapes.items()}
