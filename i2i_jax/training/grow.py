"""Progressive resolution: training that begins on smaller images and grows, as `config.grow` says.

Only the images change: the nets are convolutional, so a run stops, resumes and is evaluated as any other. Each
size is compiled once, when its first step comes. Karras et al., Progressive Growing of GANs, ICLR 2018, grow the nets
too; this is the simpler form, in which nets stay whole.
"""

import itertools

import jax
from ml_collections import ConfigDict

from i2i_jax.errors import BadInput
from i2i_jax.methods import base
from i2i_jax.runs import checkpoint


def stages(config: ConfigDict) -> list[tuple[int, tuple[int, int]]]:
  """[(updates done before it, (height, width)), ...], the last of full size; one stage where config.grow is empty.

  Raises:
    BadInput: config.grow is not such a list of ((0, height), (updates, height), ...) in rising order.
  """
  full = tuple(config.data.crop_size)
  if not config.grow:
    return [(0, full)]
  where = f'config.grow = {config.grow}'
  if any(not isinstance(stage, tuple | list) or len(stage) != 2 for stage in config.grow):
    raise BadInput(f'{where} must be pairs of updates and heights, like ((0, 64), (5000, 128))')
  starts, heights = zip(*config.grow, strict=True)
  if starts[0] != 0 or any(a >= b for part in (starts, heights) for a, b in itertools.pairwise(part)):
    raise BadInput(f'{where}: updates and heights must rise, and the first stage begin at 0')
  if heights[-1] != full[0]:
    raise BadInput(f'{where}: the last stage must have the full height, {full[0]} px (config.data.crop_size)')
  if any(height < 1 or height * full[1] % full[0] for height in heights):
    raise BadInput(f'{where}: a height whose width, in the shape of {full}, is no whole number')
  return [(start, (height, height * full[1] // full[0])) for start, height in config.grow]


def size_at(stages: list, done: int) -> tuple[int, int]:
  """(height, width) of training images after so many updates."""
  return [size for start, size in stages if start <= done][-1]


def downsized(batch: dict, size: tuple[int, int] | None) -> dict:
  """{'a': [B, H, W, C], ...} with images of `size`, each pixel a weighted mean of those that it covers."""
  return {
    name: x
    if size in (None, x.shape[1:3])
    else jax.image.resize(x, (len(x), *size, x.shape[-1]), 'linear', antialias=True)
    for name, x in batch.items()
  }


def check(config: ConfigDict, method: base.Method, state: base.State) -> None:
  """Traces a step at each size, `state` being shapes. Raises BadInput where a net or a loss cannot take one."""
  if not config.grow:
    return
  for _, size in stages(config):
    batch = jax.eval_shape(lambda batch, size=size: downsized(batch, size), checkpoint.example_batch(config))
    jax.eval_shape(method.init, jax.random.key(0), batch)
    jax.eval_shape(method.train_step, state, batch, jax.random.key(0))
