"""What `train --describe` prints: each net's layers, their outputs' sizes and their parameters."""

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from i2i_jax.methods import Method


def parameter_count(params) -> int:
  return sum(x.size for x in jax.tree.leaves(params))


def describe(method: Method, config) -> str:
  """A line a layer, and a line like 'gen: 54,413,955 parameters' a net."""
  lines = []
  for name, (net, channels) in method.nets.items():
    x = jax.ShapeDtypeStruct((1, *config.data.crop_size, channels), jnp.float32)
    switches = {'running_stats': False} | ({'dropout': False} if name.startswith('gen') else {})

    def trace(x, net=net, switches=switches):
      return net.init_with_output(jax.random.key(0), x, **switches, capture_intermediates=True)

    (y, _), variables = jax.eval_shape(trace, x)
    outputs = flatten_dict(variables['intermediates'])
    lines.append(f'{name}: {type(net).__name__} {size(x)}')
    for path, output in outputs.items():
      if len(path) > 1:  # the net's own output comes last
        params = variables['params'].get(path[0], {})
        lines.append(f'  {path[0]:18}{size(output[0]):>16}{parameter_count(params) if len(path) == 2 else 0:14,}')
    lines += [f'  {"output":18}{size(y):>16}', f'{name}: {parameter_count(variables["params"]):,} parameters', '']
  return '\n'.join(lines[:-1])


def size(x) -> str:
  return ' x '.join(map(str, x.shape[1:]))
