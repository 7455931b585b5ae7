"""Everything that needs no net's weights: pixels, structure, and detail by patches and bands.

Images at config.data.crop_size, no crop and no flip (with config.data.fit = 'cover' the middle of them); outputs
clipped to [-1, 1]; scores of images are averaged over them.
"""

from i2i_jax.evaluation.protocols.base import Protocol

PROTOCOL = Protocol(metrics=())
