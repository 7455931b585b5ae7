"""The page of a run: one self-contained HTML file, made of whatever the run has written so far.

  python -m i2i_jax.report --workdir=runs/x

It shows test pictures with a slider from input over output to target, the scores beside the baselines, loss
curves to hover, the validation pictures over time, the config, and the command that runs it again.
"""

import base64
import json
import shlex
from pathlib import Path

import numpy as np

from i2i_jax import cli
from i2i_jax.config import BadInput
from i2i_jax.data import spread
from i2i_jax.workdir import read_notes, write_text
from i2i_jax.writer import read_log

MAX_GRIDS = 16
MAX_POINTS = 2000  # of a curve


def write(workdir: Path) -> Path:
  """Writes WORKDIR/report.html and returns its path. Raises BadInput if `workdir` holds no run."""
  config_file = workdir / 'config.json'
  if not config_file.exists():
    raise BadInput(f'--workdir: {workdir} holds no run (no config.json)')
  config, notes, log = json.loads(config_file.read_text()), read_notes(workdir), read_log(workdir / 'metrics.jsonl')
  scores = {file.stem.removeprefix('eval_'): read_scores(file) for file in sorted(workdir.glob('eval_*.json'))}
  values = {
    'title': f'{config["method"]} · {config["data"]["name"]}',
    'task': config['data']['task'] if config['data']['name'] == 'earth' else config['data']['path'],
    'steps_done': max((line['step'] for line in log), default=0),
    'config': config,
    'notes': notes,
    'commands': commands(workdir, notes),
    'scores': scores,
    'curves': curves(log),
    'pictures': {split: s for split in scores if (s := pictures(workdir / f'eval_{split}'))},
    'grids': grids(workdir / 'samples'),
    'attention': grids(workdir / 'attention'),
  }
  page = workdir / 'report.html'
  fill(page, values)
  return page


def fill(page: Path, values: dict):
  """Writes a page from the template of its name beside this file: the pages' style and script and `values` go in."""
  template, style, script = (
    Path(__file__).with_name(name).read_text(encoding='utf-8') for name in (page.name, 'page.css', 'page.js')
  )
  # '<' only: the one character that could end the script element that holds the data.
  text = json.dumps(values, allow_nan=False).replace('<', '\\u003c')
  page_text = template.replace('{{style}}', style).replace('{{script}}', script).replace('{{data}}', text)
  write_text(page, page_text)


def commands(workdir: Path, notes: dict) -> list[str]:
  """What to type to train and score this run again."""
  train = notes.get('command') or f'python -m i2i_jax.train --config=... --workdir={shlex.quote(str(workdir))}'
  return [train, f'python -m i2i_jax.evaluate --workdir={shlex.quote(str(workdir))} --split=test']


def read_scores(file: Path) -> dict:
  result = json.loads(file.read_text())
  return {k: result[k] for k in ('protocol', 'step', 'split', 'direction', 'images', 'weights', 'scores')}


def curves(log: list[dict]) -> dict[str, list]:
  """Name to [[steps], [values]], thinned evenly."""
  out = {}
  for line in log:
    for name, value in line.items():
      if name != 'step' and np.isfinite(value):
        steps, values = out.setdefault(name, [[], []])
        steps.append(line['step'])
        values.append(float(f'{value:.6g}'))
  thinned = {}
  for name, (steps, values) in sorted(out.items()):
    keep = spread(len(steps), MAX_POINTS)
    thinned[name] = [[steps[i] for i in keep], [values[i] for i in keep]]
  return thinned


def pictures(folder: Path) -> list[dict]:
  """[{'name', 'input', 'output', 'target'}] with images as data URLs."""
  names = sorted(p.name.removesuffix('_output.png') for p in folder.glob('*_output.png'))
  kinds = ('input', 'output', 'target')
  return [
    {'name': name, **{k: data_url(p) for k in kinds if (p := folder / f'{name}_{k}.png').exists()}} for name in names
  ]


def grids(folder: Path) -> list[dict]:
  """[{'step', 'image'}] of the samples drawn while training, thinned evenly, first and last kept."""
  files = sorted(folder.glob('step_*.png'))
  kept = [files[i] for i in spread(len(files), MAX_GRIDS)]
  return [{'step': int(file.stem.removeprefix('step_')), 'image': data_url(file)} for file in kept]


def data_url(file: Path) -> str:
  return 'data:image/png;base64,' + base64.b64encode(file.read_bytes()).decode()


def main():
  parser = cli.parser(__doc__, 'report')
  parser.add_argument('--workdir', type=Path, required=True, help='the folder of a run')
  print(f'page: {write(parser.parse_args().workdir)}')


if __name__ == '__main__':
  cli.run(main)
