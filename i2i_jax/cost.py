"""What a config costs, from XLA's own analysis: parameters, floating-point operations, memory.

Operations are counted on the program as it is lowered for an accelerator, before anything is optimised or compiled:
there each convolution stands in its plain form. So a number depends on the nets alone: not on the form that a CPU
computes a convolution in, and not on the machine. A multiplication and an addition are two operations.

Memory is what the compiled update needs beside its arguments (activations, gradients, work space), of the device
that it was compiled for.
"""

import jax
import jax.extend
import jax.numpy as jnp

from i2i_jax import checkpoint, compiling, methods
from i2i_jax.describe import parameter_count


def flops(traced) -> float:
  """Floating-point operations of a traced function (`jax.jit(f).trace(...)`)."""
  # Lowered anew as if a CPU had asked for it: an accelerator's own client counts nothing before it has compiled.
  with jax.default_device(jax.local_devices(backend='cpu')[0]):
    program = jax.jit(jax.extend.core.jaxpr_as_fun(traced.jaxpr)).trace(*traced.jaxpr.in_avals)
    return float(program.lower(lowering_platforms=('tpu',)).cost_analysis().get('flops', 0.0))


def generator(config, method: methods.Method | None = None) -> dict[str, float]:
  """{'gen_parameters', 'gen_flops'} of the generator (of the first, where there are two), for one image."""
  nets = (method or methods.get(config)).nets
  net, channels = next(net for name, net in nets.items() if name.startswith('gen'))
  image = jax.ShapeDtypeStruct((1, *config.data.crop_size, channels), jnp.float32)
  switches = {'dropout': False, 'running_stats': False}
  variables = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, **switches), image)

  def forward(variables, image):
    (y, _), _ = net.apply(variables, image, mutable=['batch_stats'], **switches)
    return y

  traced = jax.jit(forward).trace(variables, image)
  return {'gen_parameters': parameter_count(variables['params']), 'gen_flops': flops(traced)}


def of(config, method: methods.Method, shapes: methods.State, train_step, arguments) -> dict[str, float]:
  """All costs of a run: `generator`'s, {'parameters', 'step_flops', 'step_bytes'}.

  Args:
    shapes: of the State. train_step: the jitted update. arguments: what it is called with; shapes with shardings do.
      It is compiled here, and not again when it is called with such arguments.
  """
  traced = train_step.trace(*arguments)
  memory = traced.lower().compile().memory_analysis()
  return {
    **generator(config, method),
    'parameters': parameter_count(shapes.params),
    'step_flops': flops(traced),
    'step_bytes': float(getattr(memory, 'temp_size_in_bytes', 0)),
  }


def of_config(config) -> dict[str, float]:
  """The costs of a config by itself, on one device. Compiles its update."""
  method = methods.get(config)
  batch = checkpoint.example_batch(config)
  shapes = jax.eval_shape(method.init, jax.random.key(0), batch)
  key = jax.eval_shape(lambda: jax.random.key(0))
  return of(config, method, shapes, compiling.jit(method.train_step, donate_argnums=0), (shapes, batch, key))


def line(costs: dict[str, float]) -> str:
  """The costs in one line."""
  return (
    f'cost: generator {short(costs["gen_parameters"])} parameters, {short(costs["gen_flops"])}FLOP an image; '
    f'update {short(costs["step_flops"])}FLOP, {short(costs["step_bytes"])}B of activations; '
    f'{short(costs["parameters"])} parameters in all'
  )


def short(x: float) -> str:
  """1234567 as '1.23 M'."""
  for unit, size in (('T', 1e12), ('G', 1e9), ('M', 1e6), ('k', 1e3)):
    if x >= size:
      return f'{x / size:.3g} {unit}'
  return f'{x:.3g} '
