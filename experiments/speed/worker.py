"""One framework and one variant of one row, in a process of its own that works when it is told to.

`Worker` is the parent's end: started, it answers with its first step's time; `turn`, `flops`, `matmul` and `memory`
ask for more. The workers of a row live side by side and take turns, one at a time: while one computes, the others
wait in a read, and their thread pools sleep.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from i2i_jax.runtime import memory

ROOT = Path(__file__).parent.parent.parent


class Failed(RuntimeError):
  """The worker could not do it: `torch.compile` without a compiler, a precision that is not supported."""


class Worker:
  def __init__(self, side: str, row: str, variant: str = '', cache: Path | None = None):
    """`side` is 'jax' or 'torch'; `cache` is the folder of JAX's compilation cache."""
    self.name = f'{side} {variant}'.strip()
    environment = {**os.environ, 'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}  # a GPU is shared with the other side
    if side == 'jax' and memory.wanted(os.environ, memory.setting()):
      environment['GLIBC_TUNABLES'] = memory.TUNABLE  # as our commands do for themselves
    if 'spin' not in variant:
      # OpenMP's threads sleep while they wait: spinning ones take the time of whatever else runs.
      environment.setdefault('OMP_WAIT_POLICY', 'passive')
    if cache:
      environment['JAX_COMPILATION_CACHE_DIR'] = str(cache)
    self.log = open(os.devnull, 'w') if not os.environ.get('SPEED_LOG') else None  # noqa: SIM115 (closed in close)
    self.process = subprocess.Popen(
      [sys.executable, '-m', 'experiments.speed.worker', side, row, variant],
      cwd=ROOT,
      env=environment,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=self.log,
      text=True,
    )
    self.started = self.answer()

  def ask(self, command: str, **arguments) -> dict:
    self.process.stdin.write(json.dumps({'command': command, **arguments}) + '\n')
    self.process.stdin.flush()
    return self.answer()

  def answer(self) -> dict:
    line = self.process.stdout.readline()
    answer = json.loads(line) if line else {'error': f'the process ended with code {self.process.wait()}'}
    if 'error' in answer:
      self.close()
      raise Failed(f'{self.name}: {answer["error"]}')
    return answer

  def close(self):
    self.process.stdin.close()
    self.process.stdout.close()
    self.process.wait()
    if self.log:
      self.log.close()


# ------------------------------------------------------------------------------------------ in the worker's process


def timed(step, sync, count: int) -> dict:
  """Wall and CPU seconds of a step, CPU time over all threads, the mean of `count` steps without waits between."""
  wall, cpu = time.perf_counter(), time.process_time()
  for _ in range(count):
    step()
  sync()
  return {'wall': (time.perf_counter() - wall) / count, 'cpu': (time.process_time() - cpu) / count}


def turn(step, sync, seconds: float) -> dict:
  """The mean over as many steps as fill `seconds`, after one that wakes the threads."""
  guess = timed(step, sync, 1)['wall']
  return timed(step, sync, max(1, round(seconds / guess)))


def peak_memory() -> int | None:
  """The most bytes of main memory that this process had; None where the system does not say."""
  try:
    lines = Path('/proc/self/status').read_text().splitlines()
  except OSError:
    return None
  return next((int(line.split()[1]) * 1024 for line in lines if line.startswith('VmHWM')), None)


def matmul_rate(side, precision: str, size: int) -> float:
  """Operations a second of square matrix products, the best of a few tries."""
  step, sync = side.matmul(size, precision)
  timed(step, sync, 2)
  return 2 * size**3 / min(turn(step, sync, 0.3)['wall'] for _ in range(3))


def serve(side_name: str, row_name: str, variant: str, reply):
  began = time.time()
  side = importlib.import_module(f'experiments.speed.side_{side_name}')
  from experiments.speed import rows as speed_rows

  row = speed_rows.ROWS[row_name]
  step, sync, compiling = side.task(row, variant)
  ready = time.time()
  first = timed(step, sync, 1)
  whole = time.time() - began
  timed(step, sync, 2)
  platform, device = side.device()
  first, start = first['wall'] + compiling, ready - began - compiling
  reply({'first': first, 'start': start, 'whole': whole, 'platform': platform, 'device': device})

  commands = {
    'turn': lambda seconds: turn(step, sync, seconds),
    'flops': lambda: {'flops': side.flops(step)},
    'matmul': lambda size: {'rate': matmul_rate(side, row.precision, size)},
    'memory': lambda: {'host': peak_memory(), 'device': side.device_memory()},
  }
  for line in sys.stdin:
    asked = json.loads(line)
    reply(commands[asked.pop('command')](**asked))


def main():
  answers = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)  # what libraries print does not mix with the answers

  def reply(answer: dict):
    answers.write(json.dumps(answer) + '\n')
    answers.flush()

  try:
    serve(*sys.argv[1:4], reply)
  except Exception as error:
    lines = str(error).strip().splitlines() or ['']
    reply({'error': f'{type(error).__name__}: {lines[0][:200]}'})
    raise


if __name__ == '__main__':
  main()
