"""Strangers' files through the real commands: hostile images among good ones, hostile weights, changed bytes.

A file counts as failed where something was executed, a traceback was printed, more than 1.5 GB were taken, it was not
named in one line, or a good one beside it was not written.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from i2i_jax import train
from i2i_jax.data import images
from i2i_jax.errors import BadInput
from tests import hostile, hostile_weights
from tests.small import tiny_config

MOST = 1_500_000  # KiB of memory
ROOT = Path(__file__).parents[2]
# The most that a process took is read as it ends: what wait4 says would count this one's memory as well.
WRAPPED = """
import atexit, runpy, sys
def told():
  with open('/proc/self/status') as file:
    print('peak', next(line.split()[1] for line in file if line.startswith('VmHWM')), file=sys.stderr)
atexit.register(told)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
"""


def command(*given: object) -> tuple[int, str, int]:
  """A command of the package in its own process: (exit code, what it printed, KiB of memory at most)."""
  environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'}
  words = [sys.executable, '-c', WRAPPED, *map(str, given)]
  done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, timeout=900)
  said = (done.stdout + done.stderr).decode(errors='backslashreplace')
  peak = re.findall(r'^peak (\d+)$', said, re.M)
  return done.returncode, said, int(peak[-1]) if peak else MOST + 1


def rows(scale: float = 1.0) -> Iterator[tuple[str, int, int, str]]:
  """(what was tried, how often, how many failed, remark) each."""
  with tempfile.TemporaryDirectory() as made:
    folder = Path(made)
    yield translated(folder, scale)
    yield weights(folder, scale)
    yield changed(folder, scale)


def translated(folder: Path, scale: float) -> tuple[str, int, int, str]:
  run, given, out, mark = (folder / name for name in ('run', 'in', 'out', 'mark'))
  train.train(tiny_config(), run, mesh_spec='data=1')
  given.mkdir()
  size = int((1 << 30) * min(1, scale))
  bad = [file.name for file in hostile.images(given, mark, size) if file.name != 'circle.tif']
  for i in range(10):
    (given / f'good{i}.png').write_bytes(hostile.encoded('PNG', i))
  code, said, peak = command('i2i_jax.translate', '--workdir', run, '--input', given, '--output', out)
  named = [name for name in bad if sum(f'/{name}: ' in line for line in said.splitlines()) == 1]
  written = sum((out / f'good{i}.png').is_file() for i in range(10))
  whole = written == 10 and code == 3 and peak <= MOST and not mark.exists() and 'Traceback' not in said
  failed = len(bad) - len(named) if whole else len(bad)
  remark = f'{written} of 10 good ones written, exit code {code}, {peak / 1e6:.2f} GB'
  return 'hostile images among 10 good ones, translated', len(bad), failed, remark


def weights(folder: Path, scale: float) -> tuple[str, int, int, str]:
  given, mark, failed, highest = folder / 'weights', folder / 'mark', 0, 0
  given.mkdir()
  files = hostile_weights.write(given, mark)
  files = files[: max(1, int(len(files) * min(1, scale)))]
  for file in files:
    words = ('--weights', file, '--net', 'resnet_6blocks', '--output', folder / 'imported')
    code, said, peak = command('i2i_jax.import_torch', *words)
    highest = max(highest, peak)
    errors = [line for line in said.splitlines() if not line.startswith('peak ')]
    right = code == 2 and len(errors) == 1 and errors[0].startswith('error: ') and peak <= MOST
    failed += not right or mark.exists() or (folder / 'imported').exists()
  remark = f'nothing executed, at most {highest / 1e6:.2f} GB' if not mark.exists() else 'EXECUTED'
  return 'hostile files of weights, imported', len(files), failed, remark


def changed(folder: Path, scale: float) -> tuple[str, int, int, str]:
  """Bytes of good files of each format, changed at random and cut."""
  rng, count, failed, read = np.random.default_rng(0), int(20_000 * scale), 0, 0
  kinds = {'png': 'PNG', 'jpg': 'JPEG', 'bmp': 'BMP', 'webp': 'WEBP', 'tif': 'TIFF'}
  good = {ending: hostile.encoded(kind, size=(24, 40)) for ending, kind in kinds.items()}
  good |= {'tiff': hostile.tiff(hostile.picture(), photometric='rgb'), 'npy': hostile.npy(hostile.picture())}
  for i in range(count):
    ending = list(good)[i % len(good)]
    data = bytearray(good[ending])
    for place in rng.integers(0, len(data), rng.integers(1, 8)):
      data[place] = rng.integers(256)
    file = folder / f'changed.{ending}'
    file.write_bytes(data[: int(rng.integers(1, len(data) + 1))] if i % 3 == 0 else data)
    try:
      read += images.read(file).size > 0
    except BadInput as error:
      failed += '\n' in str(error) or not str(error).startswith(str(file))
    except Exception:
      failed += 1
  return 'image files with changed bytes or cut', count, failed, f'{read} could be read, {count - read} were refused'
