"""This project's own, without a download: pixels and detail, and EfficientNet-Lite0's features beside them.

Resized as clean-fid does, to 224 px; LPIPS-Lite0 looks at images in their own size. None of its numbers is FID, KID
or LPIPS.
"""

from i2i_jax.evaluation import metrics
from i2i_jax.evaluation.protocols.base import Protocol

OWN = tuple(name for name, metric in metrics.METRICS.items() if metric.of.startswith('lite0'))
PROTOCOL = Protocol((*metrics.without_weights(), *OWN))
