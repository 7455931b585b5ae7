"""Nets. The file name is the registry: `config.gen.name = 'unet'` means `i2i_jax/models/unet.py`.

Such a file has a function `generator(config.gen, channels)`, `channels` being those that the net puts out, or
`discriminator(config.disc)`, or both; each returns a flax.linen.Module. A net maps [B, H, W, C] to `(y, out)`: `out`
is a dict of intermediates that a loss or a page may look at, and that `jit` prunes where nobody does. Two switches
tell it how to behave, both explicit in every call:

  dropout:       whether dropout draws (from the random stream 'dropout') or passes its input through; of generators.
  running_stats: whether batch norm normalises with its running statistics or with those of the batch.
"""

import functools
from typing import Any

from flax import linen as nn
from ml_collections import ConfigDict

from i2i_jax import registry
from i2i_jax.errors import BadInput, choice, nearest
from i2i_jax.layers.pyramid import of_scales

NETS = registry.names(__path__)
ROLES = {'gen': 'generator', 'disc': 'discriminator'}


def build(config: ConfigDict, channels: int = 1, *, where: str) -> nn.Module:
  """Builds the net that `config.name` names, for config.gen or config.disc as `where` says.

  Several discriminators, if there is a `config.scales` above 1.

  Raises:
    BadInput: no such net, or one that does not play this role.
  """
  field, role = f'config.{where}.name', ROLES[where]
  make = getattr(registry.entry(__name__, choice(field, config.name, NETS)), role, None)
  if make is None:
    fitting = [name for name in NETS if hasattr(registry.entry(__name__, name), role)]
    raise BadInput(f'{field} = {config.name!r} is no {role}: {nearest(config.name, fitting)}')
  if where == 'gen':
    return make(config, channels)
  return of_scales(config.get('scales', 1), functools.partial(make, config))


def parts(net: nn.Module, made: Any) -> tuple[Any, dict]:
  """What a net has returned, as (y, out). Raises BadInput where it is something else."""
  if isinstance(made, tuple) and len(made) == 2 and isinstance(made[1], dict):
    return made
  kind = 'an array' if hasattr(made, 'shape') else f'a {type(made).__name__}'
  raise BadInput(
    f'the net {type(net).__name__} returns {kind}; it must return (y, out), out being a dict of intermediates, which '
    'may be empty'
  )
