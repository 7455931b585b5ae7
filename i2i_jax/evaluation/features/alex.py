"""AlexNet's maps as LPIPS compares them, version 0.1 (lpips/lpips.py of PerceptualSimilarity).

Two files: torchvision's alexnet-owt-7be5be79.pth, and alex.pth, the channels' weights that the package lpips ships.
Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018.
"""

import jax

from i2i_jax.evaluation.features.base import Arrays, conv, folded, lpips_input, max_pool, weighted, with_heads

FILE = "torchvision's alexnet-owt-7be5be79.pth and lpips' weights/v0.1/alex.pth"
LAYERS = (0, 3, 6, 8, 10)
MARK = ('features.0.weight', 'lin0.model.1.weight')
SHAPES = {'features.0.weight': (64, 3, 11, 11)}


def load(arrays: Arrays) -> list:
  return with_heads([folded(arrays, f'features.{i}') for i in LAYERS], arrays)


def stages(layers: list, images: jax.Array) -> list[jax.Array]:
  """Images [B, H, W, 3], 0 to 255, to five maps [B, h, w, C], whose squared differences LPIPS adds up."""
  x, outputs = lpips_input(images), []
  for i, (layer, head) in enumerate(layers):
    x = max_pool(x) if i in (1, 2) else x
    stride, pad = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))[i]
    x = jax.nn.relu(conv(layer, x, stride, ((pad, pad), (pad, pad))))
    outputs.append(weighted(x, head))
  return outputs
