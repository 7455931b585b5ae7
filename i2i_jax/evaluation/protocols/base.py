"""What a protocol fixes."""

from typing import NamedTuple


class Protocol(NamedTuple):
  metrics: tuple[str, ...]  # of evaluation/metrics.py; empty: all that need no net's weights
  filter: str = 'clean'  # by which images reach a net of fixed input size, see evaluation/resize.py
  size: int = 0  # px a side, of the images that are scored; 0: any
  sampling: str = 'config'  # dropout and batch norm: as config.test says, or 'train' or 'eval'
  counts: dict[str, tuple[int, int]] = {}  # of test images, by the name of a cycle_gan set  # noqa: RUF012
