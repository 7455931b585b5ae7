"""Where the numbers in README and docs come from: runs what gives them, and writes docs/numbers.md.

  python -m experiments.numbers                 # everything that is not there yet: an hour and a half on 2 cores
  python -m experiments.numbers --only=relief   # some of it; what an earlier call has measured stays

A run that is complete is not run again, and a stopped one resumes; delete runs/numbers to measure anew. On one
machine the same numbers come out to the printed digit. tests/test_numbers.py holds README and docs against
docs/numbers.md.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

from i2i_jax import cli
from i2i_jax.errors import choice
from i2i_jax.runs import layout
from i2i_jax.runs.folder import write_text

METRICS = {'psnr': '.2f', 'l1': '.3f', 'energy_1': '.2f', 'grid': '.2f'}
FILE, RUNS = Path('docs/numbers.md'), Path('runs/numbers')
PIX2PIX = 'pix2pix:task={},size=64'
LIKE_UNPAIRED = ('--config.gen.upsample=nearest', '--config.gen.padding=reflect', '--config.batch_size=4')
RESIDUAL = (
  '--config.gen.residual=True',
  '--config.gen.upsample=nearest',
  '--config.loss.gan=none',
  '--config.steps=1500',
)
# Name: config, fields, directions.
TRAINED = {
  'relief': (PIX2PIX.format('relief'), (), ('ab',)),
  'regression': (PIX2PIX.format('relief'), ('--config.loss.gan=none',), ('ab',)),
  'satellite': (PIX2PIX.format('satellite'), (), ('ab',)),
  'map': (PIX2PIX.format('map'), (), ('ab',)),
  'paired': (PIX2PIX.format('relief'), LIKE_UNPAIRED, ('ab',)),
  'superres': (PIX2PIX.format('satellite'), ("--config.data.degrade='superres(4)'", *RESIDUAL), ('ab',)),
  'colour': (PIX2PIX.format('satellite'), ('--config.data.degrade=gray', *RESIDUAL), ('ab',)),
  'unpaired': ('cyclegan:task=relief,size=64', (), ('ab', 'ba')),
}

REST = """
## Tables of experiments

`experiments/README.md` and `experiments/results/NAME/` (small_data, attention, pairing, balance, multiscale): three
seeds each,

```
i2i sweep --experiment=experiments/NAME.py --workdir=runs/NAME --seeds=3 --jobs=2
```

Each run has one core to itself, so the same table comes out again to the last digit. `scores.csv.gz` there has each
image's scores.

## Times and memory

They differ from run to run; their medians and ranges are what is printed.

| where | command |
|---|---|
| README and `docs/speed.md`, on a CPU; `experiments/results/speed/cpu.md` | `{speed} {variants} --rounds=5` |
| README and `docs/speed.md`, on a GPU; `experiments/results/speed/h100.md` | `{speed} --rounds=3`, on an H100 |
| `docs/speed.md`, memory by XLA's analysis | `{speed}.memory` |
| `docs/speed.md`, bfloat16 in ten steps | `python -m pytest tests/runtime/test_precision.py` |
| `ms an update` of the experiments | the sweeps above; `times.csv` |
| `docs/own_images.md`, how long it takes | none: step times of the first two lines by the number of steps |

## On a GPU

`docs/results.md`, 256 px: on one H100, with the two commands that stand there. Those scores and the GPU's times are
of commits 64c8017 to cc5dd53, and were not run again since: later commits change no update of these configs.
"""
REST = REST.replace('{speed}', 'python -m experiments.speed')
REST = REST.replace('{variants}', '--torch=eager,channels_last,compile')
HEAD = """# Where the numbers come from

Written by `python -m experiments.numbers`, which runs the commands below. Test scores of seed 0: PSNR in dB and L1 in
[-1, 1], means over test images. Energy 1 and Grid ([metrics.md](metrics.md)) are of the whole split: energy in the
finest band by the targets', 1 for as much detail as they have; the strongest line of a grid by theirs, from 1 to 3
where there is none. Machine: 2 cores of an AMD EPYC (Zen 4), no GPU; on another one digits may differ.
"""


def commands(name: str) -> list[str]:
  """What gives the scores `name`, as a user types it."""
  config, fields, directions = TRAINED[name]
  lines = [' '.join((f'i2i train --config={config} --workdir={RUNS / name}', *fields))]
  for direction in directions:
    turn = '' if direction == 'ab' else f' --direction={direction}'
    lines.append(f'i2i evaluate --workdir={RUNS / name}{turn}')
  return lines


def run(name: str):
  for line in commands(name):
    print(f'\n{name}: {line}', flush=True)
    subprocess.run([sys.executable, '-m', 'i2i_jax', *shlex.split(line)[1:]], check=True)


def scores(name: str) -> list[tuple[str, ...]]:
  """(direction, who, and their METRICS as printed), ours first, of what has been scored."""
  rows = []
  for direction in TRAINED[name][2]:
    file = RUNS / name / f'{layout.scores("test", direction)}.json'
    if file.exists():
      for who, found in json.loads(file.read_text())['scores'].items():
        rows.append((direction, who, *(f'{found[metric]:{form}}' for metric, form in METRICS.items())))
  return rows


def markdown(known: dict[str, list]) -> str:
  """docs/numbers.md, of {name: scores}."""
  parts = [HEAD]
  for name, rows in known.items():
    parts.append(f'\n## {name}\n\n```\n' + '\n'.join(commands(name)) + '\n```\n')
    parts.append('| direction | who | PSNR, dB | L1 | Energy 1 | Grid |\n|---|---|---:|---:|---:|---:|')
    parts += [f'| {" | ".join(row)} |' for row in rows]
  return '\n'.join(parts) + '\n' + REST


def read(text: str) -> dict[str, list]:
  """The scores in a docs/numbers.md: {name: rows as `scores` gives them}."""
  known = {}
  for section in text.split('\n## ')[1:]:
    lines = section.splitlines()
    if lines[0] in TRAINED:
      known[lines[0]] = [
        tuple(x.strip() for x in line.strip('|').split('|')) for line in lines if line.startswith('| ')
      ][1:]
  return known


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--only', default='', metavar='NAME,...', help=f'some of {", ".join(TRAINED)}; default: all')
  names = [choice('--only', name, TRAINED) for name in filter(None, parser.parse_args().only.split(','))]
  known = read(FILE.read_text()) if FILE.exists() else {}
  for name in names or TRAINED:
    run(name)
    known[name] = scores(name)
    write_text(FILE, markdown({name: known[name] for name in TRAINED if name in known}))
    print(f'{FILE}: {name} is written')


if __name__ == '__main__':
  cli.run(main)
