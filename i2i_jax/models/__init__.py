"""Nets. The file name is the registry: `config.gen.name = 'unet'` means `i2i_jax/models/unet.py`.

Such a file has a function `build(config, channels) -> flax.linen.Module`, where `config` is `config.gen` or
`config.disc` and `channels` is the number of channels that the net puts out (a discriminator ignores it). A net
maps [B, H, W, C] to `(y, out)`: `out` is a dict of intermediates that a loss or a page may look at, and that
`jit` prunes where nobody does. Two switches tell it how to behave, both explicit in every call:

  dropout:       whether dropout draws (from the random stream 'dropout') or passes its input through.
  running_stats: whether batch norm normalises with its running statistics or with those of the batch.
"""

import functools
import importlib
import pkgutil

from flax import linen as nn

from i2i_jax.config import choice
from i2i_jax.models.pyramid import of_scales

PARTS = ('layers', 'attention', 'pyramid', 'side', 'conv', 'winograd', 'remat')  # what nets are made of
NETS = [m.name for m in pkgutil.iter_modules(__path__) if m.name not in PARTS]


def build(config, channels: int, *, where: str) -> nn.Module:
  """Builds the net that `config.name` names; `where` is the config's own name, for errors.

  Several discriminators, if there is a `config.scales` above 1.
  """
  name = choice(f'config.{where}.name', config.name, NETS)
  make = functools.partial(importlib.import_module(f'{__name__}.{name}').build, config, channels)
  return of_scales(config.get('scales', 1), make)
