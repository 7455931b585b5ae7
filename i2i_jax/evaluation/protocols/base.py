"""What a protocol fixes."""

from typing import NamedTuple


class Protocol(NamedTuple):
  metrics: tuple[str, ...]  # of evaluation/metrics.py; empty: all that need no net's weights
  filter: str = 'clean'  # by which images reach a net of fixed input size, see evaluation/resize.py
  size: int = 0  # px, height of the images that are scored; 0: any
  whole_domain: bool = False  # outputs of all inputs against all targets, partners or not
  sampling: str = 'config'  # dropout and batch norm: as config.test says, or 'train' or 'eval'
  checkpoint: str = 'newest'  # which one the published numbers are of
