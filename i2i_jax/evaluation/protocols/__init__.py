"""How published numbers are measured, by name: a file each, with `PROTOCOL` and where it comes from.

Two numbers can be compared if their protocols are the same: the net that features come from, the filter that images
are resized with, which images and how many, and which checkpoint.
"""

from i2i_jax import registry
from i2i_jax.errors import choice
from i2i_jax.evaluation.protocols.base import Protocol

NAMES = registry.names(__path__)


def get(name: str) -> Protocol:
  """Raises BadInput for an unknown name."""
  return registry.entry(__name__, choice('--protocol', name, NAMES)).PROTOCOL


def about(name: str) -> str:
  """What it is, in a line."""
  return (registry.entry(__name__, name).__doc__ or '').strip().splitlines()[0]
