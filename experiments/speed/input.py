"""The input pipeline by itself, and the share of a training's time that waits for it."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from experiments.speed import rows as speed_rows
from experiments.speed.worker import ROOT
from i2i_jax import data
from i2i_jax.runs.log import read_log

STEPS = 24


def measure_input(name: str, say, seconds: float = 5.0) -> dict:
  """Pairs a second, in the first pass and after it; and what pix2pix on these pairs logs as data/wait."""
  config = speed_rows.config(speed_rows.ROWS[name])
  source = data.get(config, 'train')
  iterator = data.train_iterator(source, config)
  first = rate(iterator, lambda count, gone: count < len(source))
  say(f'{name}: {first:.0f} pairs a second in the first pass over {len(source)}')
  later = rate(iterator, lambda count, gone: gone < seconds)
  say(f'{name}: {later:.0f} pairs a second after it; now {STEPS} steps of pix2pix')
  return {'first_pass': first, 'later': later, 'wait': waiting(config.data.size)}


def rate(iterator, more) -> float:
  began, count = time.monotonic(), 0
  while more(count, time.monotonic() - began):
    next(iterator)
    count += 1
  return count / (time.monotonic() - began)


def waiting(size: int) -> float:
  """The median over log lines of train.py's own figure; the first line, where it compiles, is left out."""
  with tempfile.TemporaryDirectory() as folder:
    fields = {'steps': STEPS, 'log_every': 4, 'eval_every': 1000, 'samples': 0}
    command = [
      *[sys.executable, '-m', 'i2i_jax.train', f'--config=pix2pix:size={size}'],
      *[f'--workdir={folder}', *(f'--config.{field}={value}' for field, value in fields.items())],
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    shares = [line['data/wait'] for line in read_log(Path(folder) / 'metrics.jsonl') if 'data/wait' in line]
  return statistics.median(shares[1:])
