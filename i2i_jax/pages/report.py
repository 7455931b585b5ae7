"""The page of a run: what the run has written so far, as one self-contained HTML file."""

import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from i2i_jax.data import images, spread
from i2i_jax.evaluation import metrics
from i2i_jax.health import signs
from i2i_jax.pages.page import data_url, fill, image_url
from i2i_jax.runs import layout
from i2i_jax.runs.folder import read_config, read_notes
from i2i_jax.runs.log import read_log
from i2i_jax.runs.stored import SCORES, read_or

MAX_GRIDS = 12
QUALITY = 90  # of pictures, by WebP's measure
MAX_POINTS = 2000  # of a curve


def write(workdir: Path) -> Path:
  """Writes WORKDIR/report.html and returns its path. Raises BadInput if `workdir` holds no run."""
  config, notes, log = read_config(workdir), read_notes(workdir), read_log(workdir / layout.LOG)
  files = {file.stem.removeprefix('eval_'): file for file in sorted(workdir.glob('eval_*.json'))}
  scores = {name: found for name, file in files.items() if (found := read_scores(file, config['method']))}
  pool: list[np.ndarray] = []
  values = {
    'title': f'{config["method"]} · {config["data"]["name"]}',
    'task': config['data']['task'] if config['data']['name'] == 'earth' else config['data']['path'],
    'steps_done': max((line['step'] for line in log), default=0),
    'config': config,
    'notes': notes,
    'commands': commands(workdir, notes),
    'scores': scores,
    'metrics': shown(scores),
    'curves': curves([{k: v for k, v in line.items() if not k.startswith('health/')} for line in log]),
    'health': health(log),
    'pictures': {split: s for split in scores if (s := pictures(workdir / f'eval_{split}'))},
    'grids': grids(workdir / layout.SAMPLES, len(notes.get('columns', ())) or 3, pool),
    'attention': grids(workdir / layout.ATTENTION, len(notes.get('attention', ())) or 1, pool),
    'images': [image_url(image, QUALITY) for image in pool],
  }
  page = workdir / layout.PAGE
  fill(page, finite(values))
  return page


def finite(value: Any) -> Any:
  """Without what a page cannot show, like an infinite PSNR: left out of dicts, None in lists."""
  if isinstance(value, dict):
    return {k: finite(v) for k, v in value.items() if not isinstance(v, float) or math.isfinite(v)}
  if isinstance(value, list | tuple):
    return [finite(v) for v in value]
  return None if isinstance(value, float) and not math.isfinite(value) else value


def commands(workdir: Path, notes: dict) -> list[str]:
  """What to type to train and score this run again."""
  train = notes.get('command') or f'i2i train --config=... --workdir={shlex.quote(str(workdir))}'
  return [train, f'i2i evaluate --workdir={shlex.quote(str(workdir))} --split=test']


def read_scores(file: Path, method: str) -> dict:
  """What the page shows of a file of scores; {} of one that is damaged."""
  shape = {**SCORES, 'scores': {method: {str: float}, str: {str: float}}}
  result = read_or({}, file, shape, 'the page leaves it out; i2i evaluate makes it again')
  shown = ('protocol', 'step', 'chosen', 'split', 'direction', 'images', 'weights', 'unlike', 'scores')
  return {k: result[k] for k in shown if k in result}


def shown(scores: dict[str, dict]) -> dict[str, dict]:
  """How the metrics are shown, and any other score there is: {'psnr': {'head': 'PSNR ↑, dB', ...}}."""
  others = (name for result in scores.values() for of in result['scores'].values() for name in of)
  entries = {name: metrics.entry(name) for name in [*metrics.METRICS, *others]}
  return {name: {**entry._asdict(), 'function': None, 'head': entry.head} for name, entry in entries.items()}


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


def health(log: list[dict]) -> dict:
  """What was found wrong, and each reading that has a threshold; {} where nothing was looked at."""
  looks = [line for line in log if signs.readings(line)]
  if not looks:
    return {}
  last = {(alarm.sign, alarm.side) for alarm in signs.lasting(looks)}
  now = signs.readings(looks[-1])
  return {
    'looks': len(looks),
    'alarms': [
      {'line': alarm.line(), 'until': alarm.until, 'over': (alarm.sign, alarm.side) not in last}
      for alarm in signs.alarms(looks)
    ],
    'readings': [
      {
        'sign': f'{name}{where}',
        'reading': sign.reading + side,
        'value': now[sign.reading + side],
        'limit': f'{"above" if sign.above else "below"} {sign.limit:g}',
        'ill': sign.ill(now[sign.reading + side]),
      }
      for name, sign in signs.SIGNS.items()
      for side, where in signs.WHERE.items()
      if sign.reading + side in now
    ],
    'curves': curves(
      [{f'health/{k}': v for k, v in signs.readings(line).items()} | {'step': line['step']} for line in looks]
    ),
  }


def pictures(folder: Path) -> list[dict]:
  """[{'name', 'input', 'output', 'target'}] with images as data URLs."""
  names = sorted(p.name.removesuffix('_output.png') for p in folder.glob('*_output.png'))
  kinds = ('input', 'output', 'target')
  return [
    {'name': name, **{k: data_url(p, QUALITY) for k in kinds if (p := folder / f'{name}_{k}.png').exists()}}
    for name in names
  ]


def grids(folder: Path, columns: int, pool: list[np.ndarray]) -> dict:
  """The samples drawn while training, thinned evenly, first and last kept: {'steps': [...], 'columns': [[...], ...]}.

  A step's columns are indices into `pool`, which is added to: inputs and targets are the same at each step, and a
  page holds them once.
  """
  files = sorted(folder.glob('step_*.png'))
  kept = [files[i] for i in spread(len(files), MAX_GRIDS)]

  def place(image):
    at = next((i for i, other in enumerate(pool) if np.array_equal(image, other)), len(pool))
    if at == len(pool):
      pool.append(image)
    return at

  return {
    'steps': [int(file.stem.removeprefix('step_')) for file in kept],
    'columns': [[place(part) for part in images.columns(images.read(file), columns)] for file in kept],
  }
