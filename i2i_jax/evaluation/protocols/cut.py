"""CUT's and UNSB's: FID by pytorch-fid, outputs of the test sources against the target domain's test folder.

256 px; horse2zebra has 120 sources and 140 targets. CUT's numbers are of the last epoch. UNSB's are the best of
training on these same images, which `evaluate` does not choose for you: its last checkpoints score far worse.
Park et al., ECCV 2020; Kim et al., ICLR 2024.
"""

from i2i_jax.evaluation.protocols.base import Protocol

PROTOCOL = Protocol(('fid', 'kid'), 'pytorch_fid', size=256, sampling='eval', counts={'horse2zebra': (120, 140)})
