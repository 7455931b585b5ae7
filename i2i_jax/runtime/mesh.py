"""Devices: one mesh axis, `data`, over which batches are split; everything else is on every device."""

from typing import NamedTuple

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from i2i_jax.errors import BadInput


class Shardings(NamedTuple):
  data: NamedSharding  # batches, split by their first axis
  replicated: NamedSharding  # states, keys, scalars
  devices: int


def make(spec: str = '') -> Shardings:
  """Shardings over the mesh that `spec` names, like 'data=8'; empty: all devices.

  Raises:
    BadInput: another axis, or more devices than there are.
  """
  count = jax.device_count()
  if spec:
    axis, _, number = spec.partition('=')
    if axis != 'data' or not number.isdigit() or not 1 <= int(number) <= count:
      raise BadInput(f'--mesh {spec}: give data=N with N from 1 to {count}, the number of devices here')
    count = int(number)
  # Explicit axes, the default, fail in flattening and batch norm.
  mesh = jax.make_mesh((count,), ('data',), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])
  return Shardings(NamedSharding(mesh, PartitionSpec('data')), NamedSharding(mesh, PartitionSpec()), count)
