"""What a config costs: parameters, floating-point operations, memory.

Operations are those of convolutions and matrix products, two (a multiplication and an addition) for each product:
what papers, fvcore and PyTorch's FlopCounterMode report. They are counted on the traced program with each convolution
in its plain form, so a number depends on the nets alone: not on the machine, nor on the form that a CPU computes a
convolution in. Conventions:

- Padded zeros count as pixels do. Zeros between the pixels of a transposed convolution's input, and those that make
  a gradient larger than what it is the gradient of, do not.
- Norms, activations, biases and losses count nothing.
- A loop's body counts as often as it runs; where a branch is chosen while running, the most expensive one counts.
- What no result needs does not count.

Memory is what the compiled update needs beside its arguments (activations, gradients, work space), of the device
that it was compiled for.
"""

import math
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
from jax.interpreters import partial_eval
from ml_collections import ConfigDict

from i2i_jax import methods, models
from i2i_jax.methods import base
from i2i_jax.runs import checkpoint
from i2i_jax.runtime import compiling
from i2i_jax.runtime.describe import parameter_count


def flops(traced: jax.stages.Traced) -> float:
  """Floating-point operations of a traced function (`jax.jit(f).trace(...)`)."""
  program = traced.jaxpr.jaxpr
  needed, _ = partial_eval.dce_jaxpr(program, [True] * len(program.outvars))
  return 2.0 * products(needed)


def products(program: Any) -> float:
  """Multiplications of a program's convolutions and matrix products; nan where a loop's length is not known."""
  total = 0.0
  for equation in program.eqns:
    name, parameters = equation.primitive.name, equation.params
    inner = [products(part) for part in jex.jaxprs_in_params(parameters)]
    if name == 'conv_general_dilated':
      total += of_convolution(equation)
    elif name == 'dot_general':
      (contracted, _), _ = parameters['dimension_numbers']
      if equation.outvars[0].aval.shape:  # that of two vectors is a sum, as of a norm, and no product of matrices
        total += equation.outvars[0].aval.size * math.prod(equation.invars[0].aval.shape[i] for i in contracted)
    elif name == 'scan':
      total += parameters['length'] * sum(inner)
    elif name == 'while':
      total += math.nan if any(inner) else 0.0
    elif name == 'cond':
      platforms = parameters.get('branches_platforms')  # of jax.lax.platform_dependent: None for all others
      total += inner[platforms.index(None)] if platforms else max(inner)
    else:
      total += sum(inner)
  return total


def of_convolution(equation: Any) -> int:
  """Products of one conv_general_dilated: each tap at each position of its input or its output, the smaller."""
  numbers = equation.params['dimension_numbers']
  image, kernel, out = (v.aval.shape for v in (*equation.invars, *equation.outvars))
  batch, outputs = (out[axis] for axis in numbers.out_spec[:2])
  _, inputs, *taps = (kernel[axis] for axis in numbers.rhs_spec)
  positions = (min(image[i], out[o]) for i, o in zip(numbers.lhs_spec[2:], numbers.out_spec[2:], strict=True))
  return batch * outputs * inputs * math.prod(taps) * math.prod(positions)


def generator(config: ConfigDict, method: base.Method | None = None) -> dict[str, float]:
  """{'gen_parameters', 'gen_flops'} of the generator (of the first, where there are two), for one image."""
  method = method or methods.get(config)
  net, channels = method.nets[method.translators['ab'].net]
  image = jax.ShapeDtypeStruct((1, *config.data.crop_size, channels), jnp.float32)
  switches: dict[str, Any] = {'dropout': False, 'running_stats': False}
  variables = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, **switches), image)

  def forward(variables, image):
    made, _ = net.apply(variables, image, mutable=['batch_stats'], **switches)
    return models.parts(net, made)[0]

  traced = jax.jit(forward).trace(variables, image)
  return {'gen_parameters': parameter_count(variables['params']), 'gen_flops': flops(traced)}


def run_cost(
  config: ConfigDict, method: base.Method, shapes: base.State, train_step: jax.stages.Wrapped, arguments: tuple
) -> dict[str, float]:
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


def config_cost(config: ConfigDict) -> dict[str, float]:
  """The costs of a config by itself, on one device. Compiles its update."""
  method = methods.get(config)
  batch = checkpoint.example_batch(config)
  shapes = jax.eval_shape(method.init, jax.random.key(0), batch)
  key = jax.eval_shape(lambda: jax.random.key(0))
  return run_cost(config, method, shapes, compiling.jit(method.train_step, donate_argnums=0), (shapes, batch, key))


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
