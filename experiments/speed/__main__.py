"""Training and translating against PyTorch, in one table: seconds as ratios, compile times, memory, input.

  python -m experiments.speed                                       # everything
  python -m experiments.speed --rows=pix2pix_256,cyclegan_128 --rounds=9
  python -m experiments.speed --rows=pix2pix_256 --quick            # a first look: 3 rounds, uncompiled PyTorch

Needs PyTorch, the extra [torch]. Writes runs/speed/speed.json and speed.md (--output names another folder) and prints
the table; rows that are not asked for stay as an earlier call has left them.

Each row starts one process for us and one for each variant of PyTorch (as it comes, channels-last, torch.compile,
both), which then take turns, one computing at a time. A ratio is our time by the best variant's in the same round;
the table has the median of the rounds and, in brackets, the least and the greatest. A variant that is far behind
after two rounds is left out of the others. Times are wall times; CPU times, over all threads, stand beside them: on a
busy machine they are the ones to trust. Nothing else should run. PyTorch's threads sleep where they wait for one
another (OMP_WAIT_POLICY=passive); `--torch=channels_last+spin` leaves OpenMP as it comes, which may be a little
faster on a quiet machine and is many times slower on a busy one.

first step: its tracing, compiling and running; cold with an empty compilation cache, warm in a
  fresh process with what the first has left there. start: imports and initial weights, before it.
peak memory: of main memory by the whole process that trained (VmHWM), compiling included; on a GPU, of its memory.
of matmul: the operations of the step's convolutions in their direct form, as PyTorch counts them, by the time and
  by the best rate that either framework reaches for a square matrix product.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from experiments.speed import table as speed_table
from experiments.speed.input import measure_input
from experiments.speed.rows import ROWS, usual
from experiments.speed.worker import ROOT, Failed, Worker
from i2i_jax import cli
from i2i_jax.errors import BadInput, choice
from i2i_jax.runs.folder import write_json

VARIANTS = ('eager', 'channels_last', 'compile', 'compile+channels_last')
SPINNING = tuple(f'{variant}+spin' for variant in VARIANTS)  # on request
FAR_BEHIND = 1.15  # a variant slower than the best by this, after two rounds, is left out


class Clock:
  """Progress: what is done now, and how long the rest will take by what has been seen."""

  def __init__(self, rows: int):
    self.began, self.rows, self.done = time.monotonic(), rows, 0

  def say(self, text: str, row_left: float | None = None):
    gone = time.monotonic() - self.began
    left = None
    if self.done:
      left = gone / self.done * (self.rows - self.done)
    elif row_left is not None:
      left = row_left + (gone + row_left) * (self.rows - 1)
    print(f'[{minutes(gone)} gone{f", about {minutes(left)} left" if left is not None else ""}] {text}', flush=True)


def minutes(seconds: float) -> str:
  return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'


def start(side: str, name: str, variant: str, clock: Clock, cache: Path | None = None) -> Worker | None:
  """A worker that has done its first steps, or None and a line that says why not."""
  clock.say(f'{name}: {side} {variant} starts')
  try:
    return Worker(side, name, variant, cache)
  except Failed as error:
    clock.say(f'{name}: left out: {error}')
    return None


def measure(name: str, options, clock: Clock) -> dict | None:
  """One row: its workers are started, take turns, and are asked for what else they know."""
  with tempfile.TemporaryDirectory() as cache:
    ours = start('jax', name, '', clock, Path(cache))
    if not ours:
      return None
    result = {'first_cold': ours.started, 'device': ours.started['device'], 'platform': ours.started['platform']}
    memory = {}
    if not options.quick and (warm := start('jax', name, 'warm', clock, Path(cache))):
      result['first_warm'], memory['ours_warm'] = warm.started, warm.ask('memory')
      warm.close()
  workers = {'ours': ours}
  for variant in options.torch:
    if worker := start('torch', name, variant, clock):
      if worker.started['platform'] == ours.started['platform']:
        workers[variant] = worker
      else:
        clock.say(f'{name}: {worker.name} left out: it computes on {worker.started["platform"]}')
        worker.close()

  turns = take_turns(name, workers, options, clock)
  for key, worker in workers.items():
    memory[key] = worker.ask('memory')
    result.setdefault('devices', {})[key] = worker.started['device']
  size = 8192 if ours.started['platform'] == 'gpu' else 2048
  result['matmul_rate'] = max(w.ask('matmul', size=size)['rate'] for w in list(workers.values())[:2])
  plain = next((w for k, w in workers.items() if 'compile' not in k and k != 'ours'), None)
  result['flops'] = plain and plain.ask('flops')['flops']
  for worker in workers.values():
    worker.close()
  return {**result, 'memory': memory, 'first_torch': first_steps(workers), 'turns': turns}


def first_steps(workers: dict[str, Worker]) -> dict:
  return {key: worker.started['first'] for key, worker in workers.items() if key != 'ours'}


def take_turns(name: str, workers: dict[str, Worker], options, clock: Clock) -> dict[str, list]:
  """{who: [{'wall', 'cpu'} a round]}; a variant that is left out has fewer."""
  turns = {key: [] for key in workers}
  active = list(workers)
  for index in range(options.rounds):
    began = time.monotonic()
    # Round by round the other way about: who comes first has no advantage.
    for key in active if index % 2 else reversed(active):
      time.sleep(0.3)  # the threads of the one before go to sleep
      turns[key].append(workers[key].ask('turn', seconds=options.seconds))
    took = time.monotonic() - began
    shown = ', '.join(f'{key} {turns[key][-1]["wall"]:.4g} s' for key in active)
    clock.say(f'{name}: round {index + 1} of {options.rounds}: {shown}', took * (options.rounds - index - 1))
    if index == 1:
      medians = {key: median(turns[key]) for key in active if key != 'ours'}
      active = [k for k in active if k == 'ours' or medians[k] <= FAR_BEHIND * min(medians.values())]
  return turns


def median(turns: list[dict], kind: str = 'wall') -> float:
  return statistics.median(t[kind] for t in turns)


def summary(row: dict) -> dict:
  """The numbers of the table, from the turns of a row."""
  turns = row['turns']
  rivals = {k: median(v) for k, v in turns.items() if k != 'ours' and len(v) == len(turns['ours'])}
  found = {'ours_s': median(turns['ours']), 'ours_cpu_s': median(turns['ours'], 'cpu')}
  if row['flops']:
    found['of_matmul'] = row['flops'] / found['ours_s'] / row['matmul_rate']
  if rivals:
    best = min(rivals, key=rivals.get)
    found |= {'best': best, 'torch_s': rivals[best], 'torch_cpu_s': median(turns[best], 'cpu')}
    for kind in ('wall', 'cpu'):
      ratios = [o[kind] / t[kind] for o, t in zip(turns['ours'], turns[best], strict=True)]
      found[f'ratio_{kind}'] = [statistics.median(ratios), min(ratios), max(ratios)]
    if row['flops']:
      found['torch_of_matmul'] = row['flops'] / found['torch_s'] / row['matmul_rate']
    where = 'device' if row['platform'] == 'gpu' else 'host'
    found['memory_ratio'] = row['memory']['ours'][where] / row['memory'][best][where]
  return found


def machine() -> dict:
  """What the numbers were measured on."""
  model = platform.processor() or platform.machine()
  try:
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    model = next(line.split(':', 1)[1].strip() for line in lines if line.startswith('model name'))
  except (OSError, StopIteration):
    pass
  return {'cpu': model, 'cores': os.cpu_count(), 'python': platform.python_version(), 'system': platform.system()}


def commit() -> str:
  """The commit that was measured, with a + if files differ from it; empty where there is no git."""
  try:
    text = subprocess.run(
      ['git', 'describe', '--always', '--dirty=+', '--exclude=*'],
      cwd=ROOT,
      capture_output=True,
      text=True,
      check=True,
    ).stdout
  except (OSError, subprocess.CalledProcessError):
    return ''
  return text.strip()


def has_gpu() -> bool:
  """Asked in a process of its own, so that this one holds no device."""
  code = 'import jax; print(jax.default_backend())'
  return 'gpu' in subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout


def parse(argv: list[str] | None = None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='python -m experiments.speed', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--rows', default='', help=f'some of {", ".join(ROWS)}; default: the usual ones')
  parser.add_argument('--rounds', type=int, help='turns of each process; default: 7, 3 with --quick')
  parser.add_argument('--seconds', type=float, default=2.0, help='of a turn, or one step if that is longer')
  parser.add_argument(
    '--torch', help=f'variants, some of {", ".join(VARIANTS)}, each also with +spin, or none; default: the four'
  )
  parser.add_argument('--quick', action='store_true', help='uncompiled PyTorch only, no second start')
  parser.add_argument('--output', type=Path, default=Path('runs/speed'), help='the folder of the table')
  options = parser.parse_args(argv)
  options.rows = [choice('--rows', r, ROWS) for r in options.rows.split(',') if r] or usual(has_gpu())
  options.rounds = options.rounds or (3 if options.quick else 7)
  if options.rounds < 1 or options.seconds <= 0:
    raise BadInput('--rounds must be at least 1 and --seconds above zero')
  named = (options.torch or ','.join(VARIANTS[:2] if options.quick else VARIANTS)).split(',')
  options.torch = [] if named == ['none'] else [choice('--torch', v, VARIANTS + SPINNING) for v in named]
  return options


def main():
  options = parse()
  options.output.mkdir(parents=True, exist_ok=True)
  file = options.output / 'speed.json'
  table = json.loads(file.read_text()) if file.exists() else {}
  clock = Clock(len(options.rows))
  for name in options.rows:
    row = ROWS[name]
    if row.kind == 'input':
      measured = measure_input(name, clock.say)
    elif measured := measure(name, options, clock):
      measured['summary'] = summary(measured)
    if measured:
      notes = {'title': row.title, 'kind': row.kind, 'commit': commit(), 'machine': machine()}
      table[name] = {**notes, 'date': datetime.date.today().isoformat(), **measured}
      write_json(file, table)
      (options.output / 'speed.md').write_text(speed_table.markdown(table))
    clock.done += 1
  print(f'\n{speed_table.markdown({k: v for k, v in table.items() if k in options.rows})}\n{file}')


if __name__ == '__main__':
  cli.run(main)
