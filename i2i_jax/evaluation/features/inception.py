"""The InceptionV3 that FID and KID are defined by, of December 2015.

Its weights are a file that the user gives: pytorch-fid's pt_inception-2015-12-05-6726825d.pth, or torch-fidelity's of
the same names. They differ from torchvision's: in TensorFlow's average pools the padding is not counted, and the last
block has a max pool (FIDInceptionA to FIDInceptionE_2 in pytorch_fid/inception.py).
"""

import jax
import jax.numpy as jnp
import numpy as np

from i2i_jax.evaluation.features.base import Arrays, average_pool, conv, folded, max_pool

SIZES = {'pool': 299}  # px
FILE = 'pt_inception-2015-12-05-6726825d.pth'
MARK = 'Conv2d_1a_3x3.conv.weight'  # an array by whose name the file is known


def load(arrays: Arrays) -> dict:
  """The convolutions by name, with their norms folded in."""
  names = [name.removesuffix('.conv.weight') for name in arrays if name.endswith('.conv.weight')]
  return {name: folded(arrays, f'{name}.conv', f'{name}.bn') for name in names}


def pool(layers: dict, images: jax.Array) -> jax.Array:
  """The last average pool: images [B, 299, 299, 3], 0 to 255, to features [B, 2048]."""
  x = (images - 128) / 128
  x = unit(layers, 'Conv2d_1a_3x3', x, 2, valid=True)
  x = unit(layers, 'Conv2d_2a_3x3', x, valid=True)
  x = max_pool(unit(layers, 'Conv2d_2b_3x3', x))
  x = unit(layers, 'Conv2d_3b_1x1', x)
  x = max_pool(unit(layers, 'Conv2d_4a_3x3', x, valid=True))
  for name in ('Mixed_5b', 'Mixed_5c', 'Mixed_5d'):
    x = block_a(layers, name, x)
  x = block_b(layers, 'Mixed_6a', x)
  for name in ('Mixed_6b', 'Mixed_6c', 'Mixed_6d', 'Mixed_6e'):
    x = block_c(layers, name, x)
  x = block_d(layers, 'Mixed_7a', x)
  x = block_e(layers, 'Mixed_7b', x, average_pool(x))
  x = block_e(layers, 'Mixed_7c', x, max_pool(x, 3, 1, 1))
  return x.mean((1, 2))


def unit(layers: dict, name: str, x: jax.Array, stride: int = 1, valid: bool = False) -> jax.Array:
  """Convolution, norm, ReLU; of the same size unless `valid`."""
  height, width = (0 if valid else n // 2 for n in np.shape(layers[name]['kernel'])[:2])
  return jax.nn.relu(conv(layers[name], x, stride, ((height, height), (width, width))))


def chain(layers: dict, block: str, x: jax.Array, *names: str) -> jax.Array:
  for name in names:
    x = unit(layers, f'{block}.{name}', x)
  return x


def block_a(layers: dict, name: str, x: jax.Array) -> jax.Array:
  parts = [
    chain(layers, name, x, 'branch1x1'),
    chain(layers, name, x, 'branch5x5_1', 'branch5x5_2'),
    chain(layers, name, x, 'branch3x3dbl_1', 'branch3x3dbl_2', 'branch3x3dbl_3'),
    chain(layers, name, average_pool(x), 'branch_pool'),
  ]
  return jnp.concatenate(parts, -1)


def block_b(layers: dict, name: str, x: jax.Array) -> jax.Array:
  double = chain(layers, name, x, 'branch3x3dbl_1', 'branch3x3dbl_2')
  parts = [
    unit(layers, f'{name}.branch3x3', x, 2, valid=True),
    unit(layers, f'{name}.branch3x3dbl_3', double, 2, valid=True),
    max_pool(x),
  ]
  return jnp.concatenate(parts, -1)


def block_c(layers: dict, name: str, x: jax.Array) -> jax.Array:
  parts = [
    chain(layers, name, x, 'branch1x1'),
    chain(layers, name, x, *(f'branch7x7_{i}' for i in (1, 2, 3))),
    chain(layers, name, x, *(f'branch7x7dbl_{i}' for i in (1, 2, 3, 4, 5))),
    chain(layers, name, average_pool(x), 'branch_pool'),
  ]
  return jnp.concatenate(parts, -1)


def block_d(layers: dict, name: str, x: jax.Array) -> jax.Array:
  small = chain(layers, name, x, 'branch3x3_1')
  large = chain(layers, name, x, 'branch7x7x3_1', 'branch7x7x3_2', 'branch7x7x3_3')
  parts = [
    unit(layers, f'{name}.branch3x3_2', small, 2, valid=True),
    unit(layers, f'{name}.branch7x7x3_4', large, 2, valid=True),
    max_pool(x),
  ]
  return jnp.concatenate(parts, -1)


def block_e(layers: dict, name: str, x: jax.Array, pooled: jax.Array) -> jax.Array:
  small = chain(layers, name, x, 'branch3x3_1')
  double = chain(layers, name, x, 'branch3x3dbl_1', 'branch3x3dbl_2')
  parts = [
    chain(layers, name, x, 'branch1x1'),
    chain(layers, name, small, 'branch3x3_2a'),
    chain(layers, name, small, 'branch3x3_2b'),
    chain(layers, name, double, 'branch3x3dbl_3a'),
    chain(layers, name, double, 'branch3x3dbl_3b'),
    chain(layers, name, pooled, 'branch_pool'),
  ]
  return jnp.concatenate(parts, -1)
