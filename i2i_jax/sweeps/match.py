"""Variants at equal cost: scales the widths of a generator's stages until it costs what the baseline's does.

All stages are scaled by one factor first. In a small net one channel more of the outermost stage is many percent of
the cost; what is then missing is made up by the inner stages, whose channels cost less each. The widths found
stand in `config.gen.widths`.
"""

import math

from ml_collections import ConfigDict

from i2i_jax import methods
from i2i_jax.config import override
from i2i_jax.errors import BadInput, choice
from i2i_jax.runtime import cost

KINDS = {'params': 'gen_parameters', 'flops': 'gen_flops'}
CLOSE = 0.005  # a cost this close to the target, as a share of it, is close enough
TRIES = 7  # for each stage


def match(config: ConfigDict, target: float, kind: str) -> float:
  """Sets config.gen.widths so that the generator costs `target`; returns the ratio that was reached.

  Args:
    target: parameters of the baseline's generator, or its operations for one image. kind: 'params' or 'flops'.

  Raises:
    BadInput: an unknown kind, or a net that has no `stage_widths`.
  """
  name = KINDS[choice('match', kind, KINDS)]
  override(config, {'gen.widths': ()})
  method = methods.get(config)
  net, _ = method.nets[method.translators['ab'].net]
  if not hasattr(net, 'stage_widths'):
    raise BadInput(f'config.gen.name = {config.gen.name}: this net has no stage_widths to be matched by')
  base, tried = net.stage_widths, {}

  def ratio(widths):
    """The cost by the target's, and the widths: in multiples of 2, 4 or 8 where the net, like its heads, needs it."""
    for multiple in (1, 2, 4, 8):
      widths = tuple(max(multiple, round(w / multiple) * multiple) for w in widths)
      if widths in tried:
        return tried[widths], widths
      override(config, {'gen.widths': widths})
      try:
        tried[widths] = cost.generator(config)[name] / target
      except BadInput:
        continue
      return tried[widths], widths
    raise BadInput(f'config.gen.widths = {widths}: no net of such widths could be built, to match its cost')

  def best():
    return min(tried, key=lambda w: (abs(tried[w] - 1), w))

  factor = 1.0
  for stage in range(len(base)):
    fixed = best()[:stage] if stage else ()
    low, high = 0.0, math.inf
    for _ in range(TRIES):
      reached, _ = ratio(fixed + tuple(factor * w for w in base[stage:]))
      if abs(reached - 1) < CLOSE:
        break
      low, high = (max(low, factor), high) if reached < 1 else (low, min(high, factor))
      # Costs grow about as the square of the width; where that guess leaves the bracket, its middle.
      factor /= math.sqrt(reached)
      if not low < factor < high:
        factor = (low + high) / 2 if high < math.inf else 2 * low
    if abs(tried[best()] - 1) < CLOSE:
      break
  override(config, {'gen.widths': best()})
  return tried[best()]
