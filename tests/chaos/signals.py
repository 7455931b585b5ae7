"""SIGINT and SIGTERM at each moment of each command, disks that fill up, two writers: real processes."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from i2i_jax.config import to_dict
from i2i_jax.data import images
from i2i_jax.runs import checkpoint
from i2i_jax.runs.folder import write_json
from i2i_jax.runs.log import read_log
from i2i_jax.runtime import mesh
from tests import moments
from tests.small import tiny_config, whole_state

ROOT = Path(__file__).parent.parent.parent
SECONDS = 10  # to answer a signal in
STUCK = 600  # seconds that the main thread does not go on, as in XLA
LEFT = (0, 200, 5_000, 20_000, 60_000, 200_000, 600_000, 1_200_000, 2_400_000, 60_000_000)  # bytes on a disk

# What is called then, and for how long its caller does not go on.
TRAINING = {
  'while it begins': ('i2i_jax.plan.make_plan', STUCK),
  'while it compiles': ('jax.stages.Lowered.compile#2', STUCK),
  'at the first validation': ('i2i_jax.evaluation.scoring.score#1', STUCK),
  'at a later one': ('i2i_jax.evaluation.scoring.score#2', STUCK),
  'at the last one': ('i2i_jax.evaluation.scoring.score#5', STUCK),
  'while it draws': ('i2i_jax.data.images.grid#2', STUCK),
  'in a step': ('i2i_jax.training.progress.Progress.update#4', 1),
  'as it begins to save': ('i2i_jax.runs.checkpoint.save#2', 1),
  'while it waits for a save': ('i2i_jax.runs.checkpoint.wait#2', 1),
  'while it writes the page': ('i2i_jax.pages.page.fill', STUCK),
}
OTHERS = {
  'evaluate, scoring': ('i2i_jax.evaluation.scoring.score', STUCK, 'evaluate'),
  'evaluate, writing': ('i2i_jax.evaluation.scoring.keep_pictures', 1, 'evaluate'),
  'translate': ('i2i_jax.inference.predictor.Predictor.translate_one#2', STUCK, 'translate'),
  'translate, writing': ('i2i_jax.runtime.files.replace#2', 1, 'translate'),
  'report': ('i2i_jax.pages.page.fill', STUCK, 'report'),
  'check': ('i2i_jax.data.checks.run', STUCK, 'check'),
}


def rows(scale: float = 1.0) -> Iterator[tuple[str, int, int, str]]:
  with tempfile.TemporaryDirectory() as folder:
    home = Path(folder)
    config = tiny_config()
    with config.unlocked():
      config.steps = 12
    write_json(home / 'config.json', to_dict(config))
    straight = home / 'straight'
    done = run(training(home, straight))
    assert done.returncode == 0, done.stderr
    (home / 'in').mkdir()
    for i in range(3):
      images.write_png(home / 'in' / f'{i}.png', np.full((16, 24, 3), 80 * i, np.uint8))
    tries = max(1, round(10 * scale))
    for name, number in (('SIGTERM', 15), ('SIGINT', 2)):
      yield summed(
        f'{name} to training',
        {what: stop_training(home, straight, *at, number) for what, at in few(TRAINING, tries)},
        'resumed: the same log and the same bits; an exit code of 128 and the signal, no traceback',
      )
      yield summed(
        f'{name} to the others',
        {what: stop_other(home, straight, *at, number) for what, at in few(OTHERS, tries)},
        'nothing half-written',
      )
    twice = [stop_training(home, straight, 'i2i_jax.runs.checkpoint.save#2', STUCK, n, n) for n in (2, 15)]
    yield summed('a second signal', dict(enumerate(twice)), 'ends it at once')
    yield two_writers(home, tries)
    yield full_disks(home, straight, LEFT[:: max(1, round(1 / scale))])


def few(moments: dict, tries: int) -> list:
  return list(moments.items())[:: max(1, -(-len(moments) // tries))]


def summed(what: str, faults: dict[Any, str], remark: str) -> tuple[str, int, int, str]:
  """A row of the table; the faults themselves are the remark, where there are some."""
  bad = {name: fault for name, fault in faults.items() if fault}
  return what, len(faults), len(bad), '; '.join(f'{k}: {v}' for k, v in bad.items()) or remark


def training(home: Path, folder: Path) -> list[str]:
  given = (f'--config={home / "config.json"}', f'--workdir={folder}', '--mesh=data=1')
  return [sys.executable, '-m', 'i2i_jax.train', *given]


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess:
  environment = {**os.environ, **variables}
  return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def answered(home: Path, command: list[str], number: int) -> str:
  """What is wrong with how a command that a signal stops ends, in words; '' where nothing is."""
  struck = home / 'struck'
  struck.unlink(missing_ok=True)
  done = run(command, STRUCK=str(struck))
  took = time.time() - float(struck.read_text()) if struck.exists() else float('nan')
  if 'Traceback' in done.stderr or done.returncode != 128 + number:
    return f'exit code {done.returncode}: {done.stderr[-300:]}'
  return '' if took < SECONDS else f'{took:.0f} s until it ended'


def stop_training(home: Path, straight: Path, moment: str, stuck: float, *signals: int) -> str:
  folder = home / 'stopped'
  shutil.rmtree(folder, ignore_errors=True)
  command = moments.command(moment, ','.join(map(str, signals)), stuck, 'train', *training(home, folder)[3:])
  return answered(home, command, signals[-1]) or left_over(folder) or resumed(home, folder, straight)


def resumed(home: Path, folder: Path, straight: Path) -> str:
  done = run(training(home, folder))
  return f'not resumed: {done.stderr[-300:]}' if done.returncode else differences(folder, straight)


def differences(folder: Path, straight: Path) -> str:
  logs = [
    [{k: v for k, v in line.items() if k != 'data/wait'} for line in read_log(of / 'metrics.jsonl')]
    for of in (folder, straight)
  ]
  if logs[0] != logs[1]:
    return f'another log: {len(logs[0])} and {len(logs[1])} lines'
  same = jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), whole_state(folder), whole_state(straight))
  pictures = [{p.name: p.read_bytes() for p in (of / 'samples').iterdir()} for of in (folder, straight)]
  if pictures[0] != pictures[1]:
    return 'other pictures'
  return '' if all(jax.tree.leaves(same)) else 'other bits'


def left_over(folder: Path) -> str:
  return next((f'{path} is left' for path in folder.rglob('*.part')), '')


def given(home: Path, folder: Path, name: str, output: Path) -> tuple[str, ...]:
  of_run = f'--workdir={folder}'
  return {
    'evaluate': (of_run,),
    'translate': (of_run, f'--input={home / "in"}', f'--output={output}'),
    'report': (of_run,),
    'check': (f'--config={home / "config.json"}', f'--output={output}'),
  }[name]


def stop_other(home: Path, straight: Path, moment: str, stuck: float, name: str, number: int) -> str:
  folder, output = home / 'other', home / 'output'
  for old in (folder, output):
    shutil.rmtree(old, ignore_errors=True)
  shutil.copytree(straight, folder)
  arguments = given(home, folder, name, output)
  if fault := answered(home, moments.command(moment, str(number), stuck, name, *arguments), number):
    return fault
  if name == 'evaluate' and (folder / 'eval_test.json').exists() != (folder / 'eval_test').exists():
    return 'scores without pictures, or pictures without scores'
  return left_over(home)


def two_writers(home: Path, tries: int) -> tuple[str, int, int, str]:
  folder, faults = home / 'two', {}
  first = subprocess.Popen(
    moments.command('i2i_jax.runs.checkpoint.save#2', '0', STUCK, 'train', *training(home, folder)[3:]),
    cwd=ROOT,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  try:
    while not read_log(folder / 'metrics.jsonl') and first.poll() is None:
      time.sleep(0.2)
    for i in range(tries):
      done = run(training(home, folder))
      right = done.returncode == 2 and f'is being written by process {first.pid}' in done.stderr
      faults[i] = '' if right else f'exit code {done.returncode}: {done.stderr[-300:]}'
  finally:
    first.kill()
    first.wait()
  return summed('a second trainer on one folder', faults, 'refused, naming the process')


def full_disks(home: Path, straight: Path, left: tuple[int, ...]) -> tuple[str, int, int, str]:
  disk = home / 'disk'
  disk.mkdir()
  what, faults = 'a disk that fills up', dict[Any, str]()
  if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=80m', 'tmpfs', disk], capture_output=True).returncode:
    return what, 0, 0, 'not tried: only root may make a small disk here'
  try:
    for room in left:
      faults[f'training, {room:,} bytes left'] = fill_training(home, disk, straight, room)
      clear(disk)
    for name in ('evaluate', 'translate', 'report'):
      faults[name] = fill_other(home, disk, straight, name)
      clear(disk)
  finally:
    subprocess.run(['umount', disk], check=True)
  return summed(what, faults, 'one line with the path and the room; older steps load; goes on, to the same bits')


def clear(disk: Path) -> None:
  for path in disk.iterdir():
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def fill(disk: Path, left: int) -> None:
  with contextlib.suppress(OSError), open(disk / 'filler', 'wb') as file:
    for _ in range(0, max(0, shutil.disk_usage(disk).free - left), 1000):
      file.write(b' ' * 1000)
      file.flush()


def said(done: subprocess.CompletedProcess | subprocess.Popen, errors: str, disk: Path) -> str:
  """What is wrong with how a full disk was told."""
  lines = [line for line in errors.splitlines() if line.startswith('error: ')]
  right = len(lines) == 1 and f'error: {disk}' in lines[0] and 'no room on disk: ' in lines[0]
  return '' if done.returncode == 1 and right and 'Traceback' not in errors else f'{done.returncode}: {errors[-300:]}'


def fill_training(home: Path, disk: Path, straight: Path, left: int) -> str:
  """The disk fills up once the log has some lines; with room enough the run ends."""
  folder = disk / 'run'
  process = subprocess.Popen(
    training(home, folder), cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
  )
  while len(read_log(folder / 'metrics.jsonl')) < 4 and process.poll() is None:
    time.sleep(0.02)
  fill(disk, left)
  errors = process.communicate(timeout=300)[1]
  if process.returncode and (fault := said(process, errors, disk) or left_over(disk)):
    return fault
  for step in checkpoint.steps(folder):
    checkpoint.load(folder, mesh.make('data=1'), step)
  (disk / 'filler').unlink()
  return resumed(home, folder, straight)


def fill_other(home: Path, disk: Path, straight: Path, name: str) -> str:
  folder = disk / 'run'
  shutil.copytree(straight, folder)
  (disk / 'out').mkdir()
  before = {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}
  fill(disk, 0)
  done = run([sys.executable, '-m', f'i2i_jax.{name}', *given(home, folder, name, disk / 'out')])
  if fault := said(done, done.stderr, disk) or left_over(disk):
    return fault
  return '' if all(path.read_bytes() == content for path, content in before.items()) else 'another file was changed'
