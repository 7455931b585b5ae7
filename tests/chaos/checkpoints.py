"""Checkpoints: kills, what is left out, damage, readers beside a writer, two writers, numbers that are not finite."""

import contextlib
import functools
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from i2i_jax import cli, data, train
from i2i_jax.errors import BadInput, RunFault
from i2i_jax.inference import predictor
from i2i_jax.methods import base, pix2pix
from i2i_jax.plan import make_plan
from i2i_jax.runs import checkpoint, checksums
from i2i_jax.runs.log import read_log
from i2i_jax.runtime import mesh
from tests.small import tiny_config, whole_state

ROOT = Path(__file__).parent.parent.parent
PIECES = ('data position', 'random key', 'image pool', 'D optimizer', 'G optimizer', 'EMA', 'schedule step')
Row = tuple[str, int, int, str]


def rows(scale: float = 1.0) -> Iterator[Row]:
  cli.prepare()
  times = lambda count: max(1, round(count * scale))  # noqa: E731
  with tempfile.TemporaryDirectory(prefix='chaos-') as place:
    folder = Path(place)
    yield from left_out(folder)
    yield from damaged(folder, times(200), times(40))
    yield from not_finite(folder)
    yield from two_writers(folder, times(5))
    yield from beside_a_writer(folder, times(100))
    yield from kills(folder, times(50))


def config_of(**changes):
  """pix2pix with dropout, running statistics and an average; it logs each step and saves often."""
  config = tiny_config()
  with config.unlocked():
    config.update({'ema': 0.9, 'samples': 0, 'writers': '', 'batch_size': 4})
    config.optim.update({'schedule': 'linear', 'per_epoch': False})
    config.update({'steps': 8, 'checkpoint_every': 4, 'eval_every': 10**6, **changes})
  return config


def with_pools(**changes):
  """CycleGAN, which keeps a pool of old fakes besides."""
  config = config_of(**changes)
  with config.unlocked():
    config.update({'method': 'cyclegan', 'pool': 3, 'batch_size': 2})
    config.data.paired = False
    config.gen.update({'name': 'resnet', 'norm': 'instance', 'padding': 'reflect', 'blocks': 1, 'width': 3})
    config.disc.update({'norm': 'instance', 'width': 3})
    config.loss.gan = 'lsgan'
  return config


def trace(workdir: Path) -> list[dict]:
  """What was logged of each step, bit for bit."""
  return [
    {name: float(value).hex() for name, value in line.items() if name != 'data/wait' and not name.startswith('val/')}
    for line in read_log(workdir / 'metrics.jsonl')
  ]


def state_hash(workdir: Path) -> str:
  digest = hashlib.sha256()
  for x in jax.tree.leaves(whole_state(workdir)):
    digest.update(np.asarray(x).tobytes())
  return digest.hexdigest()


def quietly(function, *args, **kwargs):
  """The result, and what was said on stderr."""
  said = io.StringIO()
  with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
    return function(*args, **kwargs), said.getvalue()


def run_of(folder: Path, config) -> Path:
  quietly(train.train, config, folder, mesh_spec='data=1')
  return folder


# --------------------------------------------------------------------------------------------- what is left out
def left_out(folder: Path) -> Iterator[Row]:
  config = with_pools()
  straight = run_of(folder / 'straight', config)
  quietly(train.train, config, folder / 'half', mesh_spec='data=1', stop_at=4)
  wanted = trace(straight), state_hash(straight)

  def resumed(piece: str) -> bool:
    target = folder / 'resumed'
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder / 'half', target)
    restore_meta, restore_state = checkpoint.restore_meta, checkpoint.restore_state
    with (
      mock.patch.object(checkpoint, 'restore_meta', lambda *given: without_meta(config, restore_meta(*given), piece)),
      mock.patch.object(checkpoint, 'restore_state', lambda *given: without(restore_state(*given), piece)),
    ):
      quietly(train.train, config, target, mesh_spec='data=1')
    return (trace(target), state_hash(target)) == wanted

  yield 'resumed with all pieces: bit for bit', 1, int(not resumed('')), ''
  missed = [piece for piece in PIECES if resumed(piece)]
  yield 'a piece left out of a checkpoint: caught', len(PIECES), len(missed), ', '.join(missed or PIECES)


def without_meta(config, meta: dict, piece: str) -> dict:
  if piece == 'data position':
    return {**meta, 'data': data.train_iterator(data.get(config, 'train'), config).get_state()}
  return {**meta, 'rng': [7, 7]} if piece == 'random key' else meta


def without(state: base.State, piece: str) -> base.State:
  zeros = functools.partial(jax.tree.map, jnp.zeros_like)
  if piece in ('D optimizer', 'G optimizer'):
    net = {'D': 'disc', 'G': 'gen'}[piece[0]]
    return state.replace(opt={**state.opt, net: zeros(state.opt[net])})
  if piece in ('image pool', 'EMA'):
    name = {'image pool': 'pool', 'EMA': 'ema'}[piece]
    return state.replace(extra={**state.extra, name: zeros(state.extra[name])})
  return state.replace(step=zeros(state.step)) if piece == 'schedule step' else state


# ------------------------------------------------------------------------------------------------------- damage
def damaged(folder: Path, flips: int, files: int) -> Iterator[Row]:
  """Of the newest step. A read must take the older one and say so; each twentieth time a training goes on from it."""
  config = config_of()
  source = run_of(folder / 'damage', config)
  good = {step: state_hash_at(source, step) for step in (4, 8)}
  final, draw = trace(source), random.Random(0)
  parts = sorted(file for file in (source / 'checkpoints' / '8').rglob('*') if file.is_file() and file.stat().st_size)
  sizes = [file.stat().st_size for file in parts]

  def flip(file: Path) -> None:
    text = bytearray(file.read_bytes())
    text[draw.randrange(len(text))] ^= 1 << draw.randrange(8)
    file.write_bytes(text)

  def spoil(file: Path) -> None:
    how = draw.choice(['cut', 'empty', 'delete', 'noise'])
    text = file.read_bytes()
    if how == 'delete':
      file.unlink()
    else:
      cut = text[: draw.randrange(len(text))]
      file.write_bytes({'cut': cut, 'empty': b'', 'noise': draw.randbytes(len(text))}[how])

  # A bit anywhere among the bytes is nearly always in the arrays: half of the flips are, the rest in any file.
  chosen = [*draw.choices(parts, sizes, k=flips // 2), *draw.choices(parts, k=flips - flips // 2)]
  for what, how, targets in (
    ('a bit flipped in the newest checkpoint', flip, chosen),
    ('a file cut, emptied, deleted or overwritten', spoil, draw.choices(parts, k=files)),
  ):
    wrong, trained = 0, 0
    for count, file in enumerate(targets):
      workdir = folder / 'spoilt'
      shutil.rmtree(workdir, ignore_errors=True)
      shutil.copytree(source, workdir)
      how(workdir / file.relative_to(source))
      checkpoint.warn.cache_clear()
      try:
        ok = read_passes_over(workdir, good[4])
        if ok and count % 20 == 0:
          _, said = quietly(train.train, config, workdir, mesh_spec='data=1')
          trained += 1
          ok = trace(workdir) == final and state_hash(workdir) == good[8] and said.count('set aside') == 1
      except Exception as error:
        print(f'{file.relative_to(source)}: {type(error).__name__}: {error}', file=sys.stderr)
        ok = False
      wrong += not ok
    yield what, len(targets), wrong, f'all read the step before; {trained} trained on from it, bit for bit'


def state_hash_at(workdir: Path, step: int) -> str:
  run = checkpoint.outline(workdir, mesh.make('data=1'), step)
  with checkpoint.manager(workdir) as checkpoints:
    state = checkpoint.restore_state(checkpoints, step, run.state)
  digest = hashlib.sha256()
  for x in jax.tree.leaves(state):
    digest.update(np.asarray(x).tobytes())
  return digest.hexdigest()


def read_passes_over(workdir: Path, older: str) -> bool:
  run, said = quietly(checkpoint.load, workdir, mesh.make('data=1'))
  try:
    checkpoint.load(workdir, mesh.make('data=1'), 8)
  except BadInput as error:
    refused = 'is damaged' in str(error) and '\n' not in str(error)
  else:
    refused = False
  return run.step == 4 and said.count('warning') == 1 and refused and state_hash_at(workdir, 4) == older


# -------------------------------------------------------------------------------------- numbers that are not finite
def not_finite(folder: Path) -> Iterator[Row]:
  failed = 0
  for name, patch, changes, at in (
    ('a batch', poisoned_batches(), {}, 5),
    ("gen's gradient", poisoned_gradient('gen'), {}, 5),
    ("disc's gradient", poisoned_gradient('disc'), {}, 5),
  ):
    workdir = folder / name.replace(' ', '-').replace("'", '')
    with patch:
      code, text = ended(config_of(steps=30, checkpoint_every=2, keep=100, **changes), workdir)
    step = int(text.split()[1].rstrip(':')) if text.startswith('step ') else -1
    fine = code == 1 and '\n' not in text and 0 <= step - at <= 1 and 'not finite' in text and 'loss/' in text
    if not (fine and all_finite(workdir)):
      print(f'{name} at step {at}: {code}: {text}', file=sys.stderr)
      failed += 1
  yield 'NaN in a batch or a gradient: stops within a step, none is saved', 3, failed, 'one line each'

  failed = 0
  for index, change in enumerate(({'loss.reconstruction_weight': 1e30}, {'optim.b2': 1.0})):
    config = config_of(steps=6, checkpoint_every=3)
    with config.unlocked():
      config.update_from_flattened_dict(change)
    workdir = folder / f'overflow{index}'
    code, text = ended(config, workdir)
    failed += not (code in (1, 2) and text and '\n' not in text and all_finite(workdir))
  yield 'a weight of 1e30, b2 = 1: one line, none is saved', 2, failed, ''


def ended(config, workdir: Path) -> tuple[int, str]:
  try:
    quietly(train.train, config, workdir, mesh_spec='data=1')
  except RunFault as error:
    return 1, str(error)
  except BadInput as error:
    return 2, str(error)
  return 0, ''


def all_finite(workdir: Path) -> bool:
  for step in checkpoint.steps(workdir):
    run = checkpoint.outline(workdir, mesh.make('data=1'), step)
    with checkpoint.manager(workdir) as checkpoints:
      state = checkpoint.restore_state(checkpoints, step, run.state)
    if not all(np.isfinite(x).all() for x in jax.tree.leaves(state)):
      return False
  return True


def poisoned_batches():
  """The fifth batch and those after it are NaN."""
  original = data.train_iterator

  class Poisoned:
    def __init__(self, *args, **kwargs):
      self.inner, self.count = original(*args, **kwargs), 0

    def __next__(self):
      self.count += 1
      return {k: v * (np.nan if self.count >= 5 else 1) for k, v in next(self.inner).items()}

    def __getattr__(self, name):
      return getattr(self.inner, name)

  return mock.patch.object(data, 'train_iterator', Poisoned)


def poisoned_gradient(net: str):
  module = pix2pix if net == 'gen' else base  # where the update calls it
  original = module.apply_grads

  def apply(state, txs, key, grads, turn=None):
    if key == net:  # state.step counts the updates before this one
      grads = jax.tree.map(lambda g: jnp.where(state.step == 4, jnp.nan, g), grads)
    return original(state, txs, key, grads, turn)

  return mock.patch.object(module, 'apply_grads', apply)


# -------------------------------------------------------------------------------------------------- real processes
def process(config_file: Path, workdir: Path) -> subprocess.Popen:
  command = [
    sys.executable,
    '-m',
    'i2i_jax.train',
    f'--config={config_file}',
    f'--workdir={workdir}',
    '--mesh=data=1',
  ]
  return subprocess.Popen(
    command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
  )


def written(folder: Path, name: str, **changes) -> Path:
  file = folder / f'{name}.json'
  file.write_text(json.dumps(config_of(**changes).to_dict()))
  return file


def logged(workdir: Path) -> int:
  return max((line['step'] for line in read_log(workdir / 'metrics.jsonl') if 'loss/gen' in line), default=0)


def two_writers(folder: Path, times: int) -> Iterator[Row]:
  """At once in a new folder: one trains to the end, the other is told who does."""
  failed = 0
  for index in range(times):
    workdir = folder / f'two{index}'
    both = [process(written(folder, 'two', steps=40), workdir) for _ in range(2)]
    ends = sorted((p.communicate(timeout=600), p.returncode)[::-1] for p in both)
    (code, _), (other, (_, said)) = ends
    last = said.strip().splitlines()[-1:]
    refused = other == 2 and last and ('is being written by process' in last[0] or 'another process' in last[0])
    complete = other == 0 and code == 0  # the second began after the first had ended
    failed += not ((refused or complete) and code == 0 and logged(workdir) == 40 and 'Traceback' not in said)
  yield 'two trainings at once in one folder: one trains, one is refused', times, failed, ''

  stale_config = config_of()
  run_of(folder / 'other', stale_config)
  stale = make_plan(stale_config, folder / 'stale', mesh_spec='data=1')
  shutil.copytree(folder / 'other', folder / 'stale')
  before = (folder / 'stale' / 'metrics.jsonl').read_bytes()
  with mock.patch.object(train, 'make_plan', lambda *_, **__: stale):
    code, text = ended(stale_config, folder / 'stale')
  kept = (folder / 'stale' / 'metrics.jsonl').read_bytes() == before
  yield 'a training that was planned before another one ended: refused', 1, int(not (code == 2 and kept)), text[:60]


def beside_a_writer(folder: Path, times: int) -> Iterator[Row]:
  """Reads, and each tenth time translates, while a training keeps one step and saves often."""
  workdir = folder / 'beside'
  config = written(folder, 'beside', steps=1_000_000, checkpoint_every=20, keep=1)
  writer = process(config, workdir)
  failed, seen = 0, set()
  image = np.zeros((16, 24, 3), np.uint8)
  try:
    while not checkpoint.steps(workdir):
      if writer.poll() is not None:
        raise RuntimeError(writer.communicate())
      time.sleep(0.2)
    for index in range(times):
      try:
        if index % 10 == 0:
          run = predictor.load(workdir)
          run.translate([image])
          found = run.run
          seen.add(found.step)
        else:
          found = checkpoint.load(workdir, mesh.make('data=1'))
          failed += int(found.state.step) != found.step
          seen.add(found.step)
      except Exception as error:
        print(f'beside a writer: {type(error).__name__}: {error}', file=sys.stderr)
        failed += 1
  finally:
    writer.send_signal(signal.SIGTERM)
    writer.communicate(timeout=600)
  yield 'read and translated while training keeps one step', times, failed, f'{len(seen)} steps seen'


def kills(folder: Path, times: int) -> Iterator[Row]:
  """SIGKILL at a random logged step, each third one while a checkpoint is written, each tenth before the first."""
  steps = 12 * times + 20
  changes = {'steps': steps, 'checkpoint_every': 4, 'keep': 2}
  config, draw = written(folder, 'kills', **changes), random.Random(0)
  straight = process(config, folder / 'whole')
  workdir, unusable, saving = folder / 'killed', 0, 0
  straight.communicate(timeout=3600)
  for index in range(times):
    running, begun, more = process(config, workdir), logged(workdir), draw.randint(1, 14)
    during_save = index % 3 == 0
    while running.poll() is None:
      if logged(workdir) >= begun + more or (index % 10 == 9 and (workdir / '.lock').exists()):
        if not during_save:
          break
        if next((workdir / 'checkpoints').glob('*.orbax-checkpoint-tmp*'), None):
          saving += 1
          break
      time.sleep(draw.random() * 0.02)
    running.kill()
    running.communicate()
    unusable += not usable(workdir)
  last = process(config, workdir)
  said = last.communicate(timeout=3600)[1]
  unusable += last.returncode != 0
  if last.returncode:
    print(said[-500:], file=sys.stderr)
  yield 'SIGKILL: every listed checkpoint loads, the run goes on', times, unusable, f'{saving} of them during a save'
  a, b = trace(folder / 'whole'), trace(workdir)
  different = sum(x != y for x, y in zip(a, b, strict=False)) + abs(len(a) - len(b))
  different += state_hash(folder / 'whole') != state_hash(workdir)
  yield (
    f'its {steps} logged steps and last State against a run that was never killed',
    steps,
    different,
    'bit for bit',
  )


def usable(workdir: Path) -> bool:
  """Each listed step has good files and loads whole."""
  for step in checkpoint.steps(workdir):
    if checksums.damage(workdir / 'checkpoints' / str(step)):
      return False
    state_hash_at(workdir, step)
  return True
