"""Bad commands and damaged files, by real processes: no traceback, one line, the right exit code, nothing made."""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.damage import DAMAGE

ROOT = Path(__file__).parents[2]
CONFIG = 'from i2i_jax import fields\n\n\ndef get_config(arg=""):\n  config = fields.defaults()\n'
EXPERIMENT = '"""Which?"""\nCONFIG = "pix2pix"\n\n\ndef sweep():\n  yield "a", {}\n'
# Fields and values that they may not have.
VALUES = {
  'method': ['pix2pics', '3'],
  'seed': ['-1', '4294967296', '1.5', 'x'],
  'steps': ['0', '-3', '2.5', 'many', 'nan', '99999999999', 'True'],
  'batch_size': ['0', '1e3'],
  'precision': ['float23', ''],
  'remat': ['maybe', '2'],
  'pool': ['-1'],
  'ema': ['1', '1.0', '1.5', '-0.1', 'nan'],
  'order': ['last'],
  'diffaugment': ['colour'],
  'ada.target': ['1.0'],
  'ada.every': ['0'],
  'grow': ['((0,64,3),)', '(0,64)', 'x'],
  'data.name': ['earht'],
  'data.channels_a': ['0', '-3', '99999'],
  'data.depth_b': ['12'],
  'data.range_a': ['(0,)', '3'],
  'data.load_size': ['64', '(64,)', '(64,64,64)', '(64.5,64)', '("a","b")', '(64'],
  'data.crop_size': ['(0,0)', '(-64,64)', '(1000000,1000000)', 'big'],
  'data.fit': ['strech'],
  'data.direction': ['aa'],
  'data.wrong_pairs': ['1.5'],
  'data.jitter': ['2'],
  'data.labels': ['((1,2),3)'],
  'gen.name': ['unnet'],
  'gen.width': ['0', '-4', '4.5', 'wide'],
  'gen.widths': ['(0,)', '(1.5,2)', '("a",)'],
  'gen.norm': ['instanse'],
  'gen.dropout': ['1.0', '1.5', '-0.5', 'nan'],
  'gen.upsample': ['up'],
  'gen.padding': ['mirror'],
  'gen.depth': ['0'],
  'gen.attention': ['up1', 'up1=sagen', 'nowhere=sagan'],
  'disc.width': ['0'],
  'disc.scales': ['0', '5'],
  'loss.gan': ['vanila'],
  'loss.reconstruction_weight': ['-1', 'nan', 'inf'],
  'loss.r1_every': ['0'],
  'optim.lr': ['nan', '-1', 'fast', 'inf'],
  'optim.name': ['adma'],
  'optim.b1': ['2', '1', '-0.1'],
  'optim.b2': ['1.0'],
  'optim.schedule': ['liner'],
  'optim.decay_from': ['3', '-1'],
  'optim.gen_every': ['0'],
  'optim.adaptive': ['1.5'],
  'test.batch_stats': ['runing'],
  'writers': ['tensorbord'],
  'log_every': ['0'],
  'keep': ['0'],
  'samples': ['-1'],
}
FILES = [
  'def get_config(:',
  'no Python at all',
  'x = 1\n',
  'import nowhere_to_be_found\n',
  f'{CONFIG}  return 1 / 0\n',
  f'{CONFIG}  raise SystemExit(3)\n',
  f'{CONFIG}  config.lock().stpes = 3\n',
  CONFIG,
  f'{CONFIG}  return 3\n',
  f'{CONFIG}  config.optim.b1 = 2\n  return config\n',
]
JSON = [
  '',
  '{"steps": 3',
  '[]',
  '3',
  'null',
  '{"optim": 3}',
  '{"steps": "x"}',
  '{"data": {"crop_size": [64]}}',
  '[' * 9999,
]
EXPERIMENTS = [
  ('def sweep():', 'def sweep(:'),
  ('def sweep', 'def swep'),
  ('"""Which?"""', ''),
  ('"pix2pix"', '"pix2pxi"'),
  ('{}', '1 / 0'),
  ('yield "a", {}', 'yield "a", {}; yield "a", {}'),
  ('yield "a", {}', 'return []'),
  ('yield "a", {}', 'yield "a"'),
  ('{}', '{"optim.b1": 2.0}'),
]
OTHERS = [
  'trian --config=pix2pix --workdir=run',
  'train --workdir=run',
  'train --config=pix2pix',
  'train --config=pix2pxi --workdir=run',
  'train --config=nowhere.py --workdir=run',
  'train --config= --workdir=run',
  'train --config=pix2pix:sise=64 --workdir=run',
  'train --config=pix2pix:size=big --workdir=run',
  'train --config=pix2pix:size=-64 --workdir=run',
  'train --config=pix2pix:data=earht --workdir=run',
  'train --config=pix2pix --workdir=run --config.optim.lrr=1',
  'train --config=pix2pix --workdir=run --config.optimm.lr=1',
  'train --config=pix2pix --workdir=run --config.optim=3',
  'train --config=pix2pix --workdir=run --workdri=x',
  'train --config=pix2pix --workdir=run stray',
  'train --config=pix2pix --workdir=run --stop_at=0',
  'train --config=pix2pix --workdir=run --stop_at=soon',
  'train --config=pix2pix --workdir=run --mesh=model=2',
  'train --config=pix2pix --workdir=run --init_from=nowhere',
  'train --config=pix2pix:data=folder,path=nowhere --workdir=run',
  'train --config=cyclegan --workdir=run --config.loss.gan=wgan',
  'train --config=pix2pix --workdir=/dev/null',
  'check --config=pix2pix --outptu=x',
  'check --config=pix2pix:data=folder,path=nowhere',
  'evaluate',
  'evaluate --workdir=nowhere',
  'evaluate --workdir=.',
  'evaluate --workdir=. --split=tests',
  'evaluate --workdir=. --protocol=pixl',
  'evaluate --workdir=. --step=latest',
  'evaluate --workdir=. --weights=nowhere.pth',
  'translate --workdir=nowhere --input=. --output=out',
  'translate --workdir=. --input=nowhere --output=out',
  'translate --workdir=. --input=. --output=out --size=huge',
  'report --workdir=nowhere',
  'attention_maps --workdir=. --count=0',
  'sweep --experiment=nowhere.py --workdir=w',
  'export_torch --workdir=. --output=x.onnx',
  'import_torch --weights=nowhere.pth --net=unet_256 --output=out',
  'import_torch --weights=nowhere.pth --net=unet --output=out',
]


class Ended(NamedTuple):
  code: int
  said: str
  seconds: float
  cpu: float


def i2i(*arguments: str, cwd: Path) -> Ended:
  environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
  began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
  command = [sys.executable, '-m', 'i2i_jax', *arguments]
  done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
  return Ended(done.returncode, done.stderr, time.monotonic() - began, cpu)


def commands(folder: Path) -> list[list[str]]:
  """The bad ones, and the files in `folder` that they name."""
  train = ['train', '--workdir=run', '--config=pix2pix']
  found = [[*train, f'--config.{field}={value}'] for field, values in VALUES.items() for value in values]
  found += [text.split() for text in OTHERS]
  texts = {f'config{i}.py': text for i, text in enumerate(FILES)} | {f'{i}.json': text for i, text in enumerate(JSON)}
  found += [['train', '--workdir=run', f'--config={name}'] for name in texts]
  toys = {f'toy{i}.py': EXPERIMENT.replace(old, new, 1) for i, (old, new) in enumerate(EXPERIMENTS)}
  found += [['sweep', '--workdir=run', f'--experiment={name}'] for name in toys]
  for name, text in (texts | toys).items():
    (folder / name).write_text(text)
  return found


def refusals(scale: float) -> tuple[str, int, int, str]:
  with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    tried = commands(folder)[:: max(1, round(1 / scale))]
    there, failed, ended = sorted(folder.rglob('*')), [], []
    for arguments in tried:
      result = i2i(*arguments, cwd=folder)
      ended.append(result)
      made = [path for path in sorted(folder.rglob('*')) if path not in there and '__pycache__' not in path.parts]
      lines = result.said.strip().splitlines()
      if result.code != 2 or len(lines) != 1 or not lines[0].startswith('error: ') or made:
        failed.append(arguments)
        print(f'{arguments}: {result.code} {lines[-3:]} {made}', file=sys.stderr)
  text = ', '.join(
    f'{what}: median {statistics.median(values):.2f} s, most {max(values):.2f} s'
    for what, values in (('each', [r.seconds for r in ended]), ('of CPU', [r.cpu for r in ended]))
  )
  slowest = max(range(len(tried)), key=lambda i: ended[i].cpu)
  text += f' ({" ".join(tried[slowest])})'
  return 'bad commands: exit code 2, one line, nothing made', len(tried), len(failed), text


def damaged(scale: float) -> tuple[str, int, int, str]:
  """Each file of a finished run, damaged in each way, before each command that reads it."""
  failed = tried = refused = 0
  with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    fields = (
      'data.name=tests.fake steps=4 eval_every=2 checkpoint_every=2 log_every=1 evals=psnr samples=0 '
      'gen.depth=3 disc.layers=1'
    )
    train = ['train', '--config=pix2pix:data=folder,runlocal', *(f'--config.{field}' for field in fields.split())]
    train += ['--config.data.load_size=(16,16)', '--config.data.crop_size=(16,16)', '--mesh=data=1']
    assert i2i(*train, '--workdir=whole', cwd=folder).code == 0
    assert i2i('evaluate', '--workdir=whole', cwd=folder).code == 0
    readers = {
      'config.json': [['report'], ['evaluate'], train],
      'run.json': [['report'], [*train, '--config.steps=5']],
      'eval_test.json': [['report'], ['evaluate']],
      'metrics.jsonl': [['report'], ['evaluate', '--step=best'], [*train, '--config.steps=5']],
      'checkpoints/4/meta/metadata': [['evaluate', '--again'], [*train, '--config.steps=5']],
    }
    cases = [(file, kind, command) for file, of in readers.items() for kind in DAMAGE for command in of]
    for file, kind, command in cases[:: max(1, round(1 / scale))]:
      run = folder / 'run'
      shutil.copytree(folder / 'whole', run)
      (run / file).write_bytes(DAMAGE[kind]((run / file).read_bytes()))
      result = i2i(*command, '--workdir=run', cwd=folder)
      tried, refused = tried + 1, refused + (result.code != 0)
      last = (result.said.strip().splitlines() or [''])[-1]
      may_refuse = file.startswith('checkpoints') or command[-1] == '--step=best'
      if 'Traceback' in result.said or result.code not in ((0, 1, 2) if may_refuse else (0,)):
        failed += 1
        print(f'{file}, {kind}, {command[0]}: {result.code} {last}', file=sys.stderr)
      shutil.rmtree(run)
  return 'a file of a run damaged, then report, evaluate, resume', tried, failed, f'{refused} refused in one line'


def rows(scale: float = 1.0) -> Iterator[tuple[str, int, int, str]]:
  yield refusals(scale)
  yield damaged(scale)
