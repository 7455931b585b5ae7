"""Rematerialisation: what a stage of a net computes inside is computed again in the backward pass, not kept.

A net marks its stages with `stage`; `rematerialised` says whether that has an effect. Chen et al., Training Deep Nets
with Sublinear Memory Cost, 2016.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import jax
from flax import linen as nn

_on = contextvars.ContextVar('remat', default=False)


@contextlib.contextmanager
def rematerialised(on: bool) -> Iterator[None]:
  """Nets that are traced within keep only what comes out of their stages, if `on`."""
  token = _on.set(on)
  try:
    yield
  finally:
    _on.reset(token)


def stage(module: nn.Module, compute: Callable, *args: Any) -> Any:
  """`compute(*args)`, which makes submodules of `module`; arrays and trees of arrays in and out.

  Within `rematerialised(True)` a backward pass keeps `args` alone. The variables' names and dropout's draws are the
  same with it and without.
  """
  if not _on.get():
    return compute(*args)
  return nn.remat(lambda module, *args: compute(*args))(module, *args)


def repeated(step: Callable) -> Callable:
  """The body of a lax.scan, as `stage` is: within `rematerialised(True)` only what goes in is kept."""
  return jax.checkpoint(step, prevent_cse=False) if _on.get() else step
