"""mmagic's: FID by an Inception of PyTorch, 120 and 140 images for horse2zebra; pix2pix samples with dropout.

256 px, all of the test split, nets as in training.
"""

from i2i_jax.evaluation.protocols.base import Protocol

PROTOCOL = Protocol(('fid',), 'pytorch_fid', size=256, sampling='train', counts={'horse2zebra': (120, 140)})
