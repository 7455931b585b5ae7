"""U-GAT-IT's: KID of 100 test outputs against the target domain's test folder, at 256 px. Kim et al., ICLR 2020.

The paper prints 100 times the KID.
"""

from i2i_jax.evaluation.protocols.base import Protocol

PROTOCOL = Protocol(('kid',), 'legacy_tensorflow', size=256, sampling='eval')
