"""What `train --describe` prints: each net's layers, their outputs' sizes and their parameters."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from i2i_jax import models
from i2i_jax.errors import BadInput
from i2i_jax.exporting import torch_weights
from i2i_jax.methods.base import Method


def parameter_count(params: dict) -> int:
  return sum(x.size for x in jax.tree.leaves(params))


def describe(method: Method, config: ConfigDict) -> str:
  """A line a layer, in the order in which they run, and lines like 'gen: 54,413,955 parameters' a net."""
  lines = []
  for name, (net, channels) in method.nets.items():
    x = jax.ShapeDtypeStruct((1, *config.data.crop_size, channels), jnp.float32)
    translates = name in (translator.net for translator in method.translators.values())
    switches: dict[str, Any] = {'running_stats': False} | ({'dropout': False} if translates else {})
    layers, inside = [], []

    def note(call, args, kwargs, context, layers=layers, inside=inside):
      # A layer may run modules of its own, as a loop's body, whose paths then begin anew.
      if len(context.module.path) != 1 or context.method_name != '__call__' or inside:
        return call(*args, **kwargs)
      inside.append(context.module.name)
      y = call(*args, **kwargs)
      layers.append((inside.pop(), y))
      return y

    with nn.intercept_methods(note):
      made, variables = jax.eval_shape(lambda x: net.init_with_output(jax.random.key(0), x, **switches), x)  # noqa: B023
    y, _ = models.parts(net, made)
    lines.append(f'{name}: {type(net).__name__} of {size(x)}')
    left = dict(variables['params'])  # a layer that runs in parts is counted once
    for layer, output in layers:
      count = parameter_count(left.pop(layer, {}))
      lines.append(f'  {layer:18}{size(output):>16}{count:14,}')
    lines += [f'  {"output":18}{size(leaf):>16}' for leaf in jax.tree.leaves(y)]
    lines += [f'{name}: {parameter_count(variables["params"]):,} parameters', f'{name}: {exported(config, name)}', '']
  return '\n'.join(lines[:-1])


def exported(config: ConfigDict, net: str) -> str:
  """Whether `i2i export_torch` can write a net."""
  where = net.partition('_')[0]
  try:
    torch_weights.check_counterpart(config[where], where)
  except BadInput as error:
    return f'not for export_torch: {error}'
  return 'can be written by export_torch'


def size(x: Any) -> str:
  """Of [B, H, W, C], or of a net's (y, out)."""
  return ' x '.join(map(str, jax.tree.leaves(x)[0].shape[1:]))
