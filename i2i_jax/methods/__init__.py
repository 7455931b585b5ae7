"""Methods. The file name is the registry: `config.method = 'pix2pix'` means `i2i_jax/methods/pix2pix.py`.

Such a file has one function, `create(config, steps_per_epoch) -> Method`: three pure functions and the nets that
they train, closed over the config. `State` holds arrays only; nets and optimizers stay in the closure.
"""

from ml_collections import ConfigDict

from i2i_jax import registry
from i2i_jax.errors import choice
from i2i_jax.methods.base import Method


def get(config: ConfigDict, steps_per_epoch: int = 1) -> Method:
  """The method that `config.method` names. Raises BadInput for an unknown one."""
  name = choice('config.method', config.method, registry.names(__path__))
  return registry.entry(__name__, name).create(config, steps_per_epoch)
