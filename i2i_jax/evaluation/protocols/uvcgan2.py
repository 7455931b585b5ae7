"""UVCGANv2's: FID and KID by torch-fidelity on the full test split. Torbunov et al., 2023.

Images must have been resized as there: CelebA to a width of 256 px and cropped, bilinear; AFHQ, CelebA-HQ to 256 px
by Lanczos. The mean over KID's subsets of 1,000 is what our estimate from all images estimates too.
"""

from i2i_jax.evaluation.protocols.base import Protocol

PROTOCOL = Protocol(('fid', 'kid'), 'legacy_tensorflow', size=256, sampling='eval')
