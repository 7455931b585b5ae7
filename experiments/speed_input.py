"""The input pipeline by itself, and the share of a training's time that waits for it."""

import time

from experiments import speed_rows
from i2i_jax import data


def measure_input(name: str, say, seconds: float = 5.0) -> dict:
  """Pairs a second, in the first pass and after it."""
  config = speed_rows.config(speed_rows.ROWS[name])
  source = data.get(config, 'train')
  iterator = data.train_iterator(source, config)
  began, count = time.monotonic(), 0
  while count < len(source):
    next(iterator)
    count += 1
  first = count / (time.monotonic() - began)
  say(f'{name}: {first:.0f} pairs a second in the first pass over {len(source)}')
  began, count = time.monotonic(), 0
  while time.monotonic() - began < seconds:
    next(iterator)
    count += 1
  return {'first_pass': first, 'later': count / (time.monotonic() - began), 'wait': float('nan')}
