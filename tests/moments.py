"""A command that is stopped at a moment: `python -m tests.moments MOMENT SIGNALS STUCK NAME ARGUMENTS`.

At the MOMENT, like `i2i_jax.evaluation.scoring.score#2`, that function is called for the second time; then SIGNALS,
like 15 or 2,2, go to its own process, half a second apart, and for STUCK seconds it does not go on, as XLA does not.
The file $STRUCK then holds the time.
"""

import functools
import importlib
import os
import sys
import threading
import time
from pathlib import Path


def strike(signals: list[int]) -> None:
  if struck := os.environ.get('STRUCK'):
    Path(struck).write_text(str(time.time()))
  for number in signals:
    os.kill(os.getpid(), number)  # 0 is none
    time.sleep(0.5)


def arm(moment: str, signals: list[int], stuck: float) -> None:
  path, _, nth = moment.partition('#')
  owner, _, name = path.rpartition('.')
  try:
    holder = importlib.import_module(owner)
  except ModuleNotFoundError:  # a class's
    module, _, kind = owner.rpartition('.')
    holder = getattr(importlib.import_module(module), kind)
  original, calls = getattr(holder, name), []

  @functools.wraps(original)
  def wrapped(*args, **kwargs):
    calls.append(1)
    if len(calls) == int(nth or 1):
      threading.Thread(target=strike, args=(signals,), daemon=True).start()
      time.sleep(stuck)
    return original(*args, **kwargs)

  setattr(holder, name, wrapped)


def main() -> None:
  moment, signals, stuck, name, *arguments = sys.argv[1:]
  from i2i_jax import cli

  command = importlib.import_module(f'i2i_jax.{name}')
  arm(moment, [int(number) for number in signals.split(',')], float(stuck))
  sys.argv = [f'i2i {name}', *arguments]
  cli.run(command.main)


def command(moment: str, signals: str, stuck: float, name: str, *arguments: str | Path) -> list[str]:
  """What starts it."""
  return [sys.executable, '-m', 'tests.moments', moment, signals, str(stuck), name, *map(str, arguments)]


if __name__ == '__main__':
  main()
