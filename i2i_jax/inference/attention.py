"""Where a trained generator looks: the maps of its attention blocks, drawn over the images that it makes."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from i2i_jax import data
from i2i_jax.data import images
from i2i_jax.errors import BadInput
from i2i_jax.inference.predictor import load
from i2i_jax.methods.base import Method, State
from i2i_jax.runs import checkpoint, layout
from i2i_jax.runtime import compiling

# From least to most: near black, blue, green, yellow.
COLOURS = np.array([[13, 8, 60], [33, 70, 160], [30, 160, 120], [250, 230, 40]])


def viewer(method: Method, config: ConfigDict, direction: str = 'ab') -> Callable | None:
  """A function (state, images [N, H, W, C]) -> (outputs [N, H, W, C'], {stage: map [N, h, w]}), on the host.

  None where the generator has no attention.
  """
  translator = method.translators[direction]
  if not getattr(method.nets[translator.net][0], 'attention', None):
    return None

  @compiling.jit
  def run(state: State, x: jax.Array, rng: jax.Array) -> tuple:
    return translator.run(state, x, rng, want=lambda y, out: (y, out.get('attention', {})))

  def view(state: State, x: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    outputs, maps = jax.device_get(run(state, x, jax.random.key(config.seed)))
    return np.asarray(outputs, np.float32), {stage: np.asarray(m, np.float32) for stage, m in maps.items()}

  return view


def overlay(image: np.ndarray, attended: np.ndarray) -> np.ndarray:
  """A map [h, w] in colours over an image [H, W, 1 or 3] of uint8: uint8 [H, W, 3]."""
  low, high = attended.min(), attended.max()
  share = (attended - low) / (high - low) if high > low else np.zeros_like(attended)
  share = images.resize(np.rint(255 * share).astype(np.uint8)[..., None], image.shape[:2])[..., 0] / 255
  places = np.linspace(0, 1, len(COLOURS))
  colour = np.stack([np.interp(share, places, channel) for channel in COLOURS.T], -1)
  return np.rint(0.4 * image.mean(-1, keepdims=True) + 0.6 * colour).astype(np.uint8)


def rows(view: Callable, state: State, x: np.ndarray) -> tuple[list[list[np.ndarray]], list[str]]:
  """The pictures of images x [N, H, W, C], and what their columns show."""
  outputs, maps = view(state, x)
  found = []
  for i, (source, output) in enumerate(zip(x, outputs, strict=True)):
    drawn = images.drawn(output)
    found.append([images.drawn(source), drawn, *(overlay(drawn, m[i]) for m in maps.values())])
  return found, ['input', 'output', *maps]


def draw(workdir: Path, split: str = 'test', direction: str = 'ab', count: int = 6, step: int | None = None) -> Path:
  """Writes the picture and returns its path. Raises BadInput for a run without attention in its generator."""
  run = load(workdir, step, ahead='').run
  checkpoint.check_direction(run, direction)
  view = viewer(run.method, run.config, direction)
  if not view:
    raise BadInput(f'--workdir: the generator of {workdir} has no attention (config.gen.attention is empty)')
  source = data.get(run.config, split)
  x = next(data.eval_batches(source, run.config, count, limit=count))[direction[0]]
  pictures, columns = rows(view, run.state, x)
  file = workdir / layout.attention_maps(split, direction)
  images.write_png(file, images.grid(pictures))
  print(f'{file}: {", ".join(columns)}')
  return file
