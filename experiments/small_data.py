"""A hundred training images: does the discriminator learn them by heart, and does it help to augment what it sees?

From a map of elevations to a satellite picture, 64 px, from 100 tiles alone, each seen 64 times. How far the
discriminator knows them by heart is r_t, the mean sign of its logits on them, of which 1 is the most (`disc/r_t` in
metrics.jsonl, as the discriminator sees them). ADA (Karras et al., NeurIPS 2020) augments them as often as keeps r_t
at 0.6, DiffAugment always. One checkpoint, the last: an earlier one would hide what long training does.

  i2i sweep --experiment=experiments/small_data.py --workdir=runs/small_data --seeds=3
  python -m experiments.small_data runs/small_data          # r_t and p as training went
"""

import sys
from pathlib import Path

import numpy as np

from i2i_jax.runs import layout
from i2i_jax.runs.log import read_log
from i2i_jax.sweeps.table import as_markdown

CONFIG = 'pix2pix:task=satellite,size=64'
PROTOCOL = 'lite0'
SHOW = ('psnr', 'lpips_lite0', 'kd_lite0', 'swd', 'energy_1')
FIELDS = {'data.limit': 100, 'steps': 800, 'eval_every': 800, 'gen.width': 32, 'disc.layers': 3, 'samples': 0}
COMPARE = [('ada', 'diffaugment')]


def sweep():
  """Nothing, then both ways to augment."""
  yield 'plain', {}
  yield 'diffaugment', {'diffaugment': 'color,translation,cutout'}
  yield 'ada', {'ada.target': 0.6, 'ada.kimg': 2.0}


def by_heart(workdir: Path, parts: int = 4) -> str:
  """A table of r_t, and of ADA's p, in each quarter of the runs: the mean over its logged steps and all seeds."""
  lines = [['variant', *(f'{name}, quarter {i + 1}' for name in ('r_t', 'p') for i in range(parts))]]
  for variant, _ in sweep():
    logs = [read_log(run / layout.LOG) for run in sorted(workdir.glob(f'{variant}/seed?'))]
    cells = [variant]
    for name in ('disc/r_t', 'ada/p'):
      values = np.array([[line[name] for line in log if name in line] for log in logs])
      quarters = np.array_split(values, parts, axis=1) if values.size else []
      cells += [f'{part.mean():.2f} ± {part.mean(1).std(ddof=1):.2f}' for part in quarters] or [''] * parts
    lines.append(cells)
  return as_markdown(lines[0], lines[1:])


if __name__ == '__main__':
  print(by_heart(Path(sys.argv[1])), end='')
