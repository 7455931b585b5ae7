"""What of a State is not finite, in words: a run whose optimizer has overflowed trains on as if nothing had been."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from i2i_jax.methods import base

MOMENTS = {'mu': 'the first moment', 'nu': 'the second moment', 'trace': 'the momentum'}
EXTRAS = {'batch_stats': 'the running statistics', 'ema': 'the average of the weights', 'pool': 'the image pool'}


@jax.jit
def finite(tree: Any) -> jax.Array:
  """Of each leaf, in their order, whether all of its numbers are."""
  return jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(tree)])


def unsound(state: base.State, optimizer: str) -> list[str]:
  """['the second moment of gen's adam (down0/kernel and 12 more)', ...]: what holds numbers that are not finite."""
  good = np.asarray(finite(state))
  if good.all():
    return []
  found: dict[str, list[str]] = {}
  for (path, _), fine in zip(jax.tree.leaves_with_path(state), good, strict=True):
    if not fine:
      keys = jax.tree_util.keystr(path, simple=True, separator='/').split('/')
      kind, at = kind_of(keys, optimizer)
      found.setdefault(kind, []).append('/'.join(at))
  return [
    f'{kind} ({at[0]}{f" and {len(at) - 1} more" if len(at) > 1 else ""})' if at[0] else kind
    for kind, at in found.items()
  ]


def kind_of(keys: list[str], optimizer: str) -> tuple[str, list[str]]:
  """What a leaf is, in words, and where in that it lies. `keys`: like ['params', 'gen', 'down0', 'kernel']."""
  part, *rest = keys
  if part == 'params':
    return f'the weights of {rest[0]}', rest[1:]
  if part == 'opt':
    net, *inner = rest
    place = next((i for i, key in enumerate(inner) if key in MOMENTS), None)
    if place is not None:
      return f"{MOMENTS[inner[place]]} of {net}'s {optimizer}", inner[place + 1 :]
    return f"the state of {net}'s {optimizer}", inner
  if part == 'extra':
    name, *inner = rest
    if name == 'batch_stats':
      return f'{EXTRAS[name]} of {inner[0]}', inner[1:]
    return EXTRAS.get(name, name), inner
  return part, rest
