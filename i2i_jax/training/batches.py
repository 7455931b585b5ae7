"""Batches for the loop, and how long it waits for them."""

import time
from collections.abc import Iterator

from i2i_jax.errors import BadInput, RunFault


class Batches:
  """An iterator's batches, and the share of the time, from the first on, that was spent waiting for them."""

  def __init__(self, iterator: Iterator) -> None:
    self.iterator, self.waited = iterator, 0.0
    self.since: float | None = None  # the last call of `waiting`, or the first batch

  def __next__(self) -> dict:
    began = time.monotonic()
    if self.since is None:
      self.since = began
    try:
      batch = next(self.iterator)
    except BadInput as error:  # a file that went bad, or whose header was good and whose pixels are not
      raise RunFault(str(error)) from None
    self.waited += time.monotonic() - began
    return batch

  def waiting(self) -> float:
    """The share, from 0 to 1, since the last call."""
    now = time.monotonic()
    share = self.waited / max(now - (self.since or 0.0), 1e-9)
    self.waited, self.since = 0.0, now
    return share
