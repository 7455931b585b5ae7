"""Our side of the speed table: what train.py and translate.py run, on images that are on the device already."""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

from experiments.speed import rows as speed_rows
from i2i_jax import cli, methods
from i2i_jax.methods import base
from i2i_jax.runs import checkpoint
from i2i_jax.runtime import compiling, memory, mesh

cli.keep_compiled()


def task(row: speed_rows.Row, variant: str):
  """(step, sync, seconds): a step of the row's work, which may return before the device is done; a wait for it; what
  was spent to compile it.
  """
  del variant
  config, training = speed_rows.config(row), row.kind == 'train'
  if not training:  # as translate.py
    memory.keep_small()
  shardings = mesh.make('data=1')
  method = methods.get(config, steps_per_epoch=1000)
  rng = np.random.default_rng(0)
  image = functools.partial(rng.uniform, -1, 1, (row.batch, row.size, row.size, 3))
  batch = jax.device_put({k: image().astype(np.float32) for k in 'ab'}, shardings.data)
  key = jax.device_put(jax.random.key(0), shardings.replicated)
  shapes = checkpoint.placed(jax.eval_shape(method.init, key, batch), shardings.replicated)
  if not training:  # as translate.py: the generators' weights alone, after compiling
    shapes = base.generators(shapes)
  began = time.perf_counter()
  if training:
    from i2i_jax import train  # late: it imports what translating does not need

    compiled = train.compiled_step(method, shardings).lower(shapes, batch, key).compile()
  else:
    compiled = compiling.jit(method.translators['ab'].run).lower(shapes, batch['a'], key).compile()
  seconds = time.perf_counter() - began
  memory.give_back()
  state = base.init_on_devices(method, config, key, batch, shardings.replicated) if training else drawn(shapes, rng)
  out = None

  def step():
    nonlocal state, out
    if training:
      state, out = compiled(state, batch, key)
    else:
      out = compiled(state, batch['a'], key)

  jax.block_until_ready(state)
  return step, lambda: jax.block_until_ready(out), seconds


def drawn(shapes, rng: np.random.Generator):
  """Weights of these shapes, the largest first and without a copy, as checkpoint.read gets them."""
  leaves, tree = jax.tree.flatten(shapes)
  found = {}
  for i in sorted(range(len(leaves)), key=lambda i: -leaves[i].size):
    x = rng.standard_normal(leaves[i].shape, np.float32)
    x *= 0.02
    found[i] = jax.device_put(x.astype(leaves[i].dtype, copy=False), leaves[i].sharding)
  return tree.unflatten(found[i] for i in range(len(leaves)))


def matmul(size: int, precision: str):
  """(step, sync) of one product of two square matrices."""
  x = jnp.ones((size, size), precision)
  compiled, out = compiling.jit(jnp.dot), None

  def step():
    nonlocal out
    out = compiled(x, x)

  return step, lambda: jax.block_until_ready(out)


def flops(step) -> None:
  """Not counted here: our convolutions take other forms than the direct one, whose operations are meant."""


def device_memory() -> int | None:
  """The most bytes that were in use on the device, None where it has no memory of its own."""
  stats = jax.local_devices()[0].memory_stats()
  return stats and stats.get('peak_bytes_in_use')


def device() -> tuple[str, str]:
  """(platform, description)."""
  device = jax.local_devices()[0]
  return device.platform, f'JAX {jax.__version__} on {device.device_kind}'
