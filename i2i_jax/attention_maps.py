"""Where a trained generator looks: the maps of its attention blocks, drawn over the images that it makes.

  python -m i2i_jax.attention_maps --workdir=runs/x --split=test

Writes WORKDIR/attention_SPLIT.png: a row an image, with the input, the output, and the output under each map (dark
blue where the block looks least, yellow where most; each map by its own range). With --direction=ba from B to A.
Training draws the same of validation images, into WORKDIR/attention/.
"""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from i2i_jax import checkpoint, cli, compiling, data, mesh
from i2i_jax.config import BadInput
from i2i_jax.data import images
from i2i_jax.methods import Method, translate_each, translating

# From least to most: near black, blue, green, yellow.
COLOURS = np.array([[13, 8, 60], [33, 70, 160], [30, 160, 120], [250, 230, 40]])


def viewer(method: Method, config, direction: str = 'ab') -> Callable | None:
  """A function (state, images [N, H, W, C]) -> (outputs [N, H, W, C'], {stage: map [N, h, w]}), on the host.

  None where the generator has no attention.
  """
  name = 'gen' if 'gen' in method.nets else f'gen_{direction}'
  net = method.nets[name][0]
  if not getattr(net, 'attention', None):
    return None
  pick = lambda tree: tree if name == 'gen' else tree[direction]  # noqa: E731

  @compiling.jit
  def run(params, stats, x, rng):
    want = lambda y, out: (y, out.get('attention', {}))  # noqa: E731
    return translate_each(net, params, stats, x, rng, config, want)

  def view(state, x):
    params = pick(translating(state, config))
    stats = pick(state.extra['batch_stats']['gen'])
    outputs, maps = jax.device_get(run(params, stats, x, jax.random.key(config.seed)))
    return np.float32(outputs), {stage: np.float32(m) for stage, m in maps.items()}

  return view


def overlay(image, attended) -> np.ndarray:
  """A map [h, w] in colours over an image [H, W, 1 or 3] of uint8: uint8 [H, W, 3]."""
  low, high = attended.min(), attended.max()
  share = (attended - low) / (high - low) if high > low else np.zeros_like(attended)
  share = images.resize(np.uint8(np.rint(255 * share))[..., None], image.shape[:2])[..., 0] / 255
  places = np.linspace(0, 1, len(COLOURS))
  colour = np.stack([np.interp(share, places, channel) for channel in COLOURS.T], -1)
  return np.uint8(np.rint(0.4 * image.mean(-1, keepdims=True) + 0.6 * colour))


def rows(view: Callable, state, x) -> tuple[list[list[np.ndarray]], list[str]]:
  """The pictures of images x [N, H, W, C], and what their columns show."""
  outputs, maps = view(state, x)
  found = []
  for i, (source, output) in enumerate(zip(x, outputs, strict=True)):
    drawn = images.to_uint8(output)
    found.append([images.to_uint8(source), drawn, *(overlay(drawn, m[i]) for m in maps.values())])
  return found, ['input', 'output', *maps]


def draw(workdir: Path, split: str = 'test', direction: str = 'ab', count: int = 6, step: int | None = None) -> Path:
  """Writes the picture and returns its path. Raises BadInput for a run without attention in its generator."""
  run = checkpoint.load(workdir, mesh.make('data=1'), step)
  checkpoint.check_direction(run, direction)
  view = viewer(run.method, run.config, direction)
  if not view:
    raise BadInput(f'--workdir: the generator of {workdir} has no attention (config.gen.attention is empty)')
  source = data.get(run.config, split)
  x = next(data.eval_batches(source, run.config, count, limit=count))[direction[0]]
  pictures, columns = rows(view, run.state, x)
  file = workdir / (f'attention_{split}' + ('' if direction == 'ab' else f'_{direction}') + '.png')
  images.write_png(file, images.grid(pictures))
  print(f'{file}: {", ".join(columns)}')
  return file


def main():
  parser = cli.parser(__doc__, 'attention_maps')
  parser.add_argument('--workdir', type=Path, required=True, help='the folder of a run')
  parser.add_argument('--split', default='test', choices=data.SPLITS, help='default: test')
  parser.add_argument('--direction', default='ab', choices=('ab', 'ba'), help='default: ab')
  parser.add_argument('--count', type=int, default=6, help='images drawn; default: 6')
  parser.add_argument('--step', type=int, help='the checkpoint; default: the newest')
  args = parser.parse_args()
  draw(args.workdir, args.split, args.direction, args.count, args.step)


if __name__ == '__main__':
  cli.run(main)
