"""CycleGAN-Turbo's and pix2pix-Turbo's: FID and KID by clean-fid, mode `clean`. Parmar et al., 2024."""

from i2i_jax.evaluation.protocols.base import Protocol

PROTOCOL = Protocol(('fid', 'kid'), 'clean', sampling='eval')
