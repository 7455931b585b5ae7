"""What is promised of compiling, of the profile and of the log's share of waiting."""

import gzip
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from i2i_jax import cli, data, train
from i2i_jax.errors import BadInput
from i2i_jax.runs.log import read_log
from i2i_jax.runtime import memory
from i2i_jax.training import batches
from i2i_jax.training.progress import Progress


@pytest.fixture
def compilations(monkeypatch):
  """For each step of a training that follows, how many programs have been compiled when it is done."""
  count, by_step = [0], []

  def listen(event, seconds, **_):
    count[0] += event == '/jax/core/compile/backend_compile_duration'

  progress = Progress.update
  monkeypatch.setattr(Progress, 'update', lambda self: by_step.append(count[0]) or progress(self))
  jax.monitoring.register_event_duration_secs_listener(listen)
  yield by_step
  jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize('method', ['pix2pix', pytest.param('cyclegan', marks=pytest.mark.slow)])
def test_nothing_compiles_after_the_first_step(tiny, tmp_path, compilations, method):
  with tiny.unlocked():
    tiny.update({'method': method, 'steps': 5, 'eval_every': 5, 'checkpoint_every': 5, 'samples': 0, 'ema': 0.9})
    tiny.loss.gan = 'lsgan'
  train.train(tiny, tmp_path / 'run', mesh_spec='data=2')
  assert compilations[0] > 0
  assert compilations == [compilations[0]] * 5


def test_a_step_that_compiles_again_is_seen(tiny, tmp_path, compilations, monkeypatch):
  """The count above is no count of nothing: a batch of another type at step 3 shows in it."""
  with tiny.unlocked():
    tiny.update({'steps': 5, 'eval_every': 5, 'checkpoint_every': 5, 'samples': 0})
  steps = iter(range(1, 6))
  following = batches.Batches.__next__

  def other(self):
    kind = np.float16 if next(steps) == 3 else np.float32
    return jax.tree.map(lambda x: x.astype(kind), following(self))

  monkeypatch.setattr(batches.Batches, '__next__', other)
  train.train(tiny, tmp_path / 'run', mesh_spec='data=2')
  assert compilations[1] < compilations[2]


def test_the_profile_holds_the_steps(tiny, tmp_path, capsys):
  with tiny.unlocked():
    tiny.update({'steps': 5, 'eval_every': 6, 'checkpoint_every': 6, 'samples': 0})
  train.train(tiny, tmp_path / 'run', mesh_spec='data=1', profile=True)
  (file,) = (tmp_path / 'run' / 'profile').rglob('perfetto_trace.json.gz')
  assert str(file) in capsys.readouterr().out
  assert list((tmp_path / 'run' / 'profile').rglob('*.xplane.pb'))
  events = json.loads(gzip.decompress(file.read_bytes()))
  events = events['traceEvents'] if isinstance(events, dict) else events
  steps = [e for e in events if e.get('name', '').startswith('train') and 'step_num' in e.get('args', {})]
  assert sorted({int(e['args']['step_num']) for e in steps}) == [3, 4, 5]


def test_too_few_steps_to_profile_are_refused(tiny, tmp_path):
  with pytest.raises(BadInput, match=r'--profile: 4 steps are left .* needs 5'):
    train.train(tiny, tmp_path / 'four', mesh_spec='data=1', profile=True, stop_at=4)
  assert not (tmp_path / 'four').exists()


def test_the_time_spent_waiting_for_data_is_logged(tiny, tmp_path, monkeypatch):
  """A clock that only moves while data are awaited, and by as much again elsewhere."""
  now = [0.0]
  monkeypatch.setattr(train.time, 'monotonic', lambda: now[0])
  original = data.train_iterator

  class Slow:
    def __init__(self, *args, **kwargs):
      self.inner = original(*args, **kwargs)

    def __next__(self):
      now[0] += 1.0
      return next(self.inner)

    def __getattr__(self, name):
      return getattr(self.inner, name)

  progress = Progress.update

  def work(self):
    now[0] += 3.0
    progress(self)

  monkeypatch.setattr(data, 'train_iterator', Slow)
  monkeypatch.setattr(Progress, 'update', work)
  with tiny.unlocked():
    tiny.update({'steps': 8, 'log_every': 4, 'eval_every': 8, 'checkpoint_every': 8, 'samples': 0})
  train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  shares = [line['data/wait'] for line in read_log(tmp_path / 'run' / 'metrics.jsonl') if 'data/wait' in line]
  assert shares == pytest.approx([0.25, 0.25], abs=0.05)


@pytest.fixture
def cache_settings():
  names = ('jax_compilation_cache_dir', 'jax_persistent_cache_min_compile_time_secs')
  before = {name: getattr(jax.config, name) for name in names}
  yield
  for name, value in before.items():
    jax.config.update(name, value)


def test_the_compilation_cache_is_in_the_users_cache_folder(tmp_path, monkeypatch, cache_settings):
  jax.config.update('jax_compilation_cache_dir', None)
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', 'elsewhere')
  cli.keep_compiled()
  assert jax.config.jax_compilation_cache_dir is None  # what the user says is left to JAX
  assert not list(tmp_path.iterdir())
  monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR')
  cli.keep_compiled()
  assert jax.config.jax_compilation_cache_dir == str(tmp_path / 'i2i_jax' / 'jax')


def test_a_cache_folder_that_cannot_be_made_is_no_failure(tmp_path, monkeypatch, cache_settings):
  jax.config.update('jax_compilation_cache_dir', None)
  (tmp_path / 'i2i_jax').write_text('a file in the way')
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR')
  cli.keep_compiled()
  assert jax.config.jax_compilation_cache_dir is None


MADVISE = 'always [madvise] never\n'


@pytest.mark.parametrize(
  ('environ', 'setting', 'libc', 'expected'),
  [
    ({}, MADVISE, 'glibc', True),
    ({}, MADVISE, '', False),
    ({}, '[always] madvise never\n', 'glibc', False),
    ({}, '', 'glibc', False),
    ({'GLIBC_TUNABLES': 'x'}, MADVISE, 'glibc', False),
    ({'MALLOC_ARENA_MAX': '1'}, MADVISE, 'glibc', False),
  ],
)
def test_huge_pages_are_asked_for_where_that_helps(environ, setting, libc, expected, monkeypatch):
  monkeypatch.setattr(platform, 'libc_ver', lambda: (libc, ''))
  assert memory.wanted(environ, setting) == expected


@pytest.mark.skipif(not memory.wanted({}, memory.setting()), reason='huge pages cannot be asked for here')
def test_a_command_starts_once_more_with_huge_pages_and_a_program_does_not(tmp_path):
  """A module that Python loads at its start says which process has which variable."""
  (tmp_path / 'sitecustomize.py').write_text("import os; print('glibc', os.environ.get('GLIBC_TUNABLES'))")
  path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
  environment = {k: v for k, v in os.environ.items() if k != 'GLIBC_TUNABLES'} | {'PYTHONPATH': path}

  def said(*arguments):
    done = subprocess.run(
      [sys.executable, *arguments], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
    )
    return [line for line in done.stdout.splitlines() if line.startswith('glibc')]

  assert said('-m', 'i2i_jax.import_torch', '--help') == ['glibc None', f'glibc {memory.TUNABLE}']
  assert said('-c', 'import i2i_jax') == ['glibc None']


def test_a_command_leaves_its_programs_in_the_cache(command, tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR')
  monkeypatch.delenv('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS')
  small = ['--config.steps=1', '--config.samples=0', '--config.data.name=tests.fake', '--config.gen.depth=2']
  small += ['--config.data.crop_size=(16, 16)', '--config.data.load_size=(16, 16)', '--config.disc.layers=1']
  small += ['--config=pix2pix:runlocal', f'--workdir={tmp_path / "run"}']
  done = command('i2i_jax.train', *small)
  assert done.returncode == 0, done.stderr
  assert any('train_step' in file.name for file in (tmp_path / 'i2i_jax' / 'jax').iterdir())
