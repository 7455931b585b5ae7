"""VGG16's maps as LPIPS compares them, version 0.1 (lpips/lpips.py of PerceptualSimilarity).

Two files: torchvision's vgg16-397923af.pth, and vgg.pth, the channels' weights that the package lpips ships.
Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018.
"""

import jax

from i2i_jax.evaluation.features.base import Arrays, conv, folded, lpips_input, max_pool, weighted, with_heads

FILE = "torchvision's vgg16-397923af.pth and lpips' weights/v0.1/vgg.pth"
LAYERS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
MARK = ('features.0.weight', 'lin0.model.1.weight')
SHAPES = {'features.0.weight': (64, 3, 3, 3)}


def load(arrays: Arrays) -> list:
  return with_heads([[folded(arrays, f'features.{i}') for i in stage] for stage in LAYERS], arrays)


def stages(layers: list, images: jax.Array) -> list[jax.Array]:
  """Images [B, H, W, 3], 0 to 255, to five maps [B, h, w, C], whose squared differences LPIPS adds up."""
  x, outputs = lpips_input(images), []
  for i, (stage, head) in enumerate(layers):
    x = max_pool(x, 2) if i else x
    for layer in stage:
      x = jax.nn.relu(conv(layer, x, padding='SAME'))
    outputs.append(weighted(x, head))
  return outputs
