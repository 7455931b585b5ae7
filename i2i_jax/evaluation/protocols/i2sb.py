"""I2SB's: FID by clean-fid, mode `legacy_pytorch`, at 256 px. Liu et al., ICML 2023."""

from i2i_jax.evaluation.protocols.base import Protocol

PROTOCOL = Protocol(('fid',), 'legacy_pytorch', size=256, sampling='eval')
