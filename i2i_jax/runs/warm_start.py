"""A new run's first weights, from a run that is there."""

import jax
from flax.traverse_util import flatten_dict

from i2i_jax.errors import BadInput
from i2i_jax.methods import base
from i2i_jax.runs.checkpoint import Run


def start_from(state: base.State, run: Run, where: str) -> base.State:
  """`state` with the weights and running statistics of another run's nets; optimizers and step stay new.

  A run of one generator alone, as import_torch makes it, gives CycleGAN its generator from A to B. A run of
  pix2pixHD's global net alone gives a net with local enhancers its `coarse` part; a run whose discriminator has fewer
  scales, two at least, gives those of the smaller images. What has no counterpart there stays new.

  Raises:
    BadInput: naming the first parameter that one of the two lacks or has in another shape.
  """

  def adopted(ours: dict, theirs: dict, net: str) -> dict:
    if ours.keys() == theirs.keys() and ours.keys() in ({'ab', 'ba'}, {'a', 'b'}):
      return {k: adopted(ours[k], theirs[k], f'{net}/{k}') for k in ours}
    if 'ab' in ours and 'ab' not in theirs:
      return {**ours, 'ab': adopted(ours['ab'], theirs, net)}
    if 'coarse' in ours and 'coarse' not in theirs:
      return {**ours, 'coarse': adopted(ours['coarse'], {k: v for k, v in theirs.items() if k != 'head'}, net)}
    if 'discs_0' in ours and 'discs_0' in theirs:
      common = ours.keys() & theirs.keys()
      return {**ours, **{k: adopted(ours[k], theirs[k], net) for k in sorted(common)}}
    flat_ours, flat_theirs = flatten_dict(ours), flatten_dict(theirs)
    for path in sorted({*flat_ours, *flat_theirs}):
      shapes = [tuple(flat[path].shape) if path in flat else None for flat in (flat_theirs, flat_ours)]
      if shapes[0] != shapes[1]:
        raise BadInput(f'{where}: {net}/{"/".join(path)} has the shape {shapes[0]} there and {shapes[1]} here')
    return jax.tree.map(lambda a, b: jax.device_put(b.astype(a.dtype), a.sharding), ours, theirs)

  nets = [net for net in state.params if net in run.state.params]
  params = {net: adopted(state.params[net], run.state.params[net], net) for net in nets}
  old = run.state.extra['batch_stats']
  stats = {net: adopted(state.extra['batch_stats'][net], old[net], net) for net in nets if old[net]}
  extra = {**state.extra, 'batch_stats': {**state.extra['batch_stats'], **stats}}
  state = state.replace(params={**state.params, **params}, extra=extra)
  return base.with_average(state) if 'ema' in extra else state
