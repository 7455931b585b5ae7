"""LPIPS of VGG16, version 0.1, beside pixels and detail; images in their own size.

Zhang et al., CVPR 2018. Two files: torchvision's VGG16, and its channels' weights from the package lpips.
"""

from i2i_jax.evaluation import metrics
from i2i_jax.evaluation.protocols.base import Protocol

PROTOCOL = Protocol((*metrics.without_weights(), 'lpips_vgg'))
