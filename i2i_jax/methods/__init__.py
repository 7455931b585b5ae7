"""Methods. The file name is the registry: `config.method = 'pix2pix'` means `i2i_jax/methods/pix2pix.py`.

Such a file has one function, `create(config, steps_per_epoch) -> Method`: three pure functions and the nets that
they train, closed over the config. `State` holds arrays only; nets and optimizers stay in the closure.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from i2i_jax.config import choice

PRECISIONS = ('float32', 'float64')


class State(flax.struct.PyTreeNode):
  """All that is sharded and checkpointed."""

  step: jax.Array
  params: dict[str, Any]  # by net: {'gen': ..., 'disc': ...}
  opt: dict[str, Any]  # the same keys
  extra: dict[str, Any]  # running statistics of batch norm, average of the weights; often {}


class Method(NamedTuple):
  init: Callable  # (rng, batch) -> State
  train_step: Callable  # (state, batch, rng) -> (State, metrics: flat dict of scalars)
  translate: Callable  # (state, images [B, H, W, C], rng) -> images [B, H, W, C'], both in [-1, 1]
  nets: dict[str, tuple[nn.Module, int]]  # name -> (module, channels in), for `train --describe`


def get(config, steps_per_epoch: int = 1) -> Method:
  """The method that `config.method` names. Raises BadInput for an unknown one."""
  names = [m.name for m in pkgutil.iter_modules(__path__)]
  name = choice('config.method', config.method, names)
  # Without this switch JAX computes in float32 whatever it is asked for.
  jax.config.update('jax_enable_x64', choice('config.precision', config.precision, PRECISIONS) == 'float64')
  return importlib.import_module(f'{__name__}.{name}').create(config, steps_per_epoch)


def init_state(nets: dict, variables: dict, txs: dict, dtype, extra: dict | None = None) -> State:
  """A State at step 0 from each net's freshly initialised variables, in the run's precision."""
  variables = jax.tree.map(lambda x: x.astype(dtype), variables)
  params = {name: variables[name]['params'] for name in nets}
  stats = {name: variables[name].get('batch_stats', {}) for name in nets}
  opt = {name: txs[name].init(params[name]) for name in nets}
  return State(jnp.zeros((), jnp.int32), params, opt, {'batch_stats': stats, **(extra or {})})


def apply_grads(state: State, txs: dict[str, optax.GradientTransformation], key: str, grads) -> State:
  """One optimizer step on params[key]."""
  updates, opt = txs[key].update(grads, state.opt[key], state.params[key])
  params = optax.apply_updates(state.params[key], updates)
  return state.replace(params={**state.params, key: params}, opt={**state.opt, key: opt})


def update(state: State, txs: dict[str, optax.GradientTransformation], key: str, loss_fn):
  """One gradient step on params[key]; loss_fn(params) -> (loss, aux). Returns (state, aux)."""
  grads, aux = jax.grad(loss_fn, has_aux=True)(state.params[key])
  return apply_grads(state, txs, key, grads), aux
