"""The loop's promises: exact resuming, the same on any number of devices, nothing lost, nothing half-made."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2i_jax import cli, config, data, train
from i2i_jax.errors import BadInput, RunFault
from i2i_jax.inference import predictor
from i2i_jax.pages import report
from i2i_jax.runs import checkpoint
from i2i_jax.runs import folder as workdir
from i2i_jax.runs.log import read_log
from i2i_jax.runtime import mesh
from i2i_jax.training.progress import Progress
from tests import fake
from tests.flags import UNPOLISHED
from tests.small import tiny_config, whole_state


def losses(folder):
  """What was logged of the updates; the time that was spent waiting is no part of what is reproduced."""
  lines = [line for line in read_log(folder / 'metrics.jsonl') if not any(k.startswith('val/') for k in line)]
  return [{k: v for k, v in line.items() if k != 'data/wait'} for line in lines]


def state_of(folder):
  return jax.tree.map(np.asarray, whole_state(folder))


def assert_same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope='module')
def everything():
  """All that a state can hold: running statistics, an average of the weights, ADA's p; and a loss that draws."""
  config = tiny_config()
  config.update({'ema': 0.9, 'samples': 0, 'steps': 12, 'eval_every': 6, 'checkpoint_every': 3})
  config.loss.update({'gan': 'hinge', 'gradient_penalty': 10.0})
  config.ada.update({'target': 0.01, 'kimg': 0.1, 'every': 2})
  config.test.batch_stats = 'running'
  return config


@pytest.fixture(scope='module')
def straight(everything, tmp_path_factory):
  """A run from its first step to its last, and the batches that it saw."""
  return recorded_run(everything, tmp_path_factory.mktemp('straight') / 'run')


@pytest.fixture(scope='module')
def half(everything, tmp_path_factory):
  """The same as far as the middle."""
  return recorded_run(everything, tmp_path_factory.mktemp('half') / 'run', stop_at=6)


def recorded_run(config, folder, **kwargs):
  """Trains; the folder, and the sums of all batches, in their order."""
  seen, original = [], data.train_iterator

  class Recorder:
    def __init__(self, *args, **kwargs):
      self.inner = original(*args, **kwargs)

    def __next__(self):
      batch = next(self.inner)
      seen.append(float(batch['a'].sum(dtype=np.float64)))
      return batch

    def __getattr__(self, name):
      return getattr(self.inner, name)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(data, 'train_iterator', Recorder)
    train.train(config, folder, mesh_spec='data=1', **kwargs)
  return folder, seen


def test_twelve_steps_are_six_and_six(everything, straight, half, tmp_path):
  assert checkpoint.steps(half[0])[-1] == 6
  shutil.copytree(half[0], tmp_path / 'twice')
  folder, seen = recorded_run(everything, tmp_path / 'twice')
  assert half[1][:6] + seen[:6] == straight[1][:12]
  assert losses(folder) == losses(straight[0])
  assert_same(state_of(folder), state_of(straight[0]))


@pytest.mark.parametrize('left_out', ['data', 'rng', 'gen', 'disc', 'step', 'ema', 'batch_stats', 'ada'])
def test_resuming_would_show_what_is_left_out(everything, straight, half, tmp_path, monkeypatch, left_out):
  """The test above sees each part of a checkpoint: without any one of them the traces differ."""
  restore_meta, restore_state = checkpoint.restore_meta, checkpoint.restore_state

  def meta_without(checkpoints, step):
    meta = restore_meta(checkpoints, step)
    if left_out == 'data':
      meta['data'] = data.train_iterator(data.get(everything, 'train'), everything).get_state()
    if left_out == 'rng':
      meta['rng'] = [7, 7]
    return meta

  def state_without(checkpoints, step, target):
    state = restore_state(checkpoints, step, target)
    zeros = lambda tree: jax.tree.map(jnp.zeros_like, tree)  # noqa: E731
    if left_out in state.opt:
      state = state.replace(opt={**state.opt, left_out: zeros(state.opt[left_out])})
    if left_out == 'step':
      state = state.replace(step=jnp.zeros_like(state.step))
    if left_out in state.extra:
      state = state.replace(extra={**state.extra, left_out: zeros(state.extra[left_out])})
    return state

  monkeypatch.setattr(checkpoint, 'restore_meta', meta_without)
  monkeypatch.setattr(checkpoint, 'restore_state', state_without)
  shutil.copytree(half[0], tmp_path / 'twice')
  train.train(everything, tmp_path / 'twice', mesh_spec='data=1')
  monkeypatch.undo()
  with pytest.raises(AssertionError):
    assert losses(tmp_path / 'twice') == losses(straight[0])
    assert_same(state_of(tmp_path / 'twice'), state_of(straight[0]))


def test_one_and_eight_devices_agree(tiny, tmp_path, double_precision):
  steps, tolerance = 20, 1e-9
  with tiny.unlocked():
    tiny.update({'steps': steps, 'precision': 'float64', 'eval_every': 100, 'checkpoint_every': 100, 'samples': 0})
    tiny.loss.gan = 'wgan-gp'  # which draws: so must its draws agree
  for count in (1, 8):
    train.train(tiny, tmp_path / str(count), mesh_spec=f'data={count}')
  one, eight = losses(tmp_path / '1'), losses(tmp_path / '8')
  assert len(one) == steps
  for a, b in zip(one, eight, strict=True):
    assert a.keys() == b.keys()
    for name in a:
      assert a[name] == pytest.approx(b[name], rel=tolerance, abs=tolerance), (a['step'], name)
  dtypes = {x.dtype.name for x in jax.tree.leaves(state_of(tmp_path / '8').params)}
  assert dtypes == {'float64'}
  # What eight devices saved translates on one.
  picture = np.arange(16 * 24 * 3, dtype=np.uint8).reshape(16, 24, 3)
  by_one, by_eight = (predictor.load(tmp_path / name, mesh_spec='data=1').translate([picture])[0] for name in '18')
  np.testing.assert_array_equal(by_one, by_eight)


def test_a_run_leaves_what_it_promises(tiny, run, capsys):
  folder = run
  assert config.from_dict(json.loads((folder / 'config.json').read_text())).to_dict() == tiny.to_dict()
  assert [p.name for p in sorted((folder / 'samples').iterdir())] == [f'step_{step:08d}.png' for step in (0, 3, 6)]
  assert list((folder / 'tensorboard').glob('events*'))
  assert (folder / 'report.html').stat().st_size > 10_000
  assert 'val/psnr' in read_log(folder / 'metrics.jsonl')[-1]
  assert workdir.read_notes(folder)['command'].startswith('python -m')
  assert checkpoint.steps(folder) == [3, 6]
  assert not list(folder.rglob('*.part'))
  capsys.readouterr()
  train.train(tiny, folder, mesh_spec='data=1')
  assert 'complete' in capsys.readouterr().out


def test_a_new_run_starts_from_anothers_weights(tiny, tmp_path, finished):
  """Weights and running statistics are the other run's, the step and the optimizers are new."""
  with tiny.unlocked():
    tiny.update({'steps': 1, 'seed': 5, 'ema': 0.5})
    tiny.optim.lr = 0.0  # so that what it started from is still there after a step
  train.train(tiny, tmp_path / 'second', mesh_spec='data=1', init_from=finished)
  first, second = state_of(finished), state_of(tmp_path / 'second')
  assert_same(first.params, second.params)
  assert_same(first.params['gen'], second.extra['ema'])
  assert (first.step, second.step) == (6, 1)

  with tiny.unlocked():
    tiny.gen.width = 5
  with pytest.raises(BadInput, match=r'--init_from .*: gen/down0/kernel has the shape \(4, 4, 3, 4\) there'):
    train.train(tiny, tmp_path / 'third', mesh_spec='data=1', init_from=finished)
  assert not (tmp_path / 'third').exists()


def test_the_newest_and_every_so_many_checkpoints_stay(tiny, tmp_path, monkeypatch):
  with tiny.unlocked():
    tiny.update({'steps': 10, 'checkpoint_every': 1, 'keep': 2, 'keep_every': 4, 'samples': 0, 'eval_every': 100})
  retired, save = [], checkpoint.save

  def spy(checkpoints, *args):
    save(checkpoints, *args)
    checkpoints.wait_until_finished()
    retired.append(len(list(checkpoints.directory.glob('deleted/*'))))

  monkeypatch.setattr(checkpoint, 'save', spy)
  train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  assert checkpoint.steps(tmp_path / 'run') == [4, 8, 9, 10]
  assert max(retired) <= 1  # they do not pile up until the run ends
  assert not (tmp_path / 'run' / 'checkpoints' / 'deleted').exists()


def test_another_configs_folder_is_refused_and_left_alone(tiny, tmp_path):
  folder = tmp_path / 'run'
  train.train(tiny, folder, stop_at=3, mesh_spec='data=1')
  before = {p: p.stat().st_mtime_ns for p in folder.rglob('*')}
  with tiny.unlocked():
    tiny.optim.lr = 1e-3
  with pytest.raises(BadInput, match=r"another config's run \(config.optim.lr: 0.0002 -> 0.001\)"):
    train.train(tiny, folder, mesh_spec='data=1')
  assert {p: p.stat().st_mtime_ns for p in folder.rglob('*')} == before


def test_a_folder_of_other_things_is_refused(tiny, tmp_path):
  (tmp_path / 'thesis.tex').write_text('precious')
  with pytest.raises(BadInput, match='no run of ours'):
    train.train(tiny, tmp_path, mesh_spec='data=1')
  assert [p.name for p in tmp_path.iterdir()] == ['thesis.tex']


def test_changed_data_are_refused(tiny, tmp_path, monkeypatch):
  train.train(tiny, tmp_path / 'run', stop_at=3, mesh_spec='data=1')
  monkeypatch.setitem(fake.COUNTS, 'train', 15)
  original = fake.Pairs.__init__

  def renamed(self, *args):
    original(self, *args)
    self.fingerprint += '-changed'

  monkeypatch.setattr(fake.Pairs, '__init__', renamed)
  with pytest.raises(BadInput, match='data have changed since step 3'):
    train.train(tiny, tmp_path / 'run', mesh_spec='data=1')


def test_a_second_writer_is_refused(tiny, tmp_path):
  with workdir.lock(tmp_path / 'run'), pytest.raises(BadInput, match=f'written by process {os.getpid()}'):
    train.train(tiny, tmp_path / 'run', mesh_spec='data=1')


def test_a_full_disk_is_said_before_anything_is_made(tiny, tmp_path, monkeypatch):
  free = shutil.disk_usage(tmp_path)._replace(free=1000)
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: free)
  with pytest.raises(BadInput, match='no room on disk'):
    train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  assert not (tmp_path / 'run').exists()


def test_a_nan_stops_the_run_and_is_not_saved(tiny, tmp_path, monkeypatch):
  original = data.augment

  def poisoned(config_data, paired):
    view = original(config_data, paired)
    calls = []

    def apply(pair, rng):
      out = view(pair, rng)
      calls.append(1)
      return {k: v * np.nan for k, v in out.items()} if len(calls) > 100 else out

    return apply

  monkeypatch.setattr(data, 'augment', poisoned)
  with tiny.unlocked():
    tiny.update({'steps': 100, 'checkpoint_every': 5, 'eval_every': 1000, 'samples': 0, 'keep': 100})
  with pytest.raises(
    RunFault,
    match=r'step \d+: .* is nan.*; not finite by now: the weights of disc, .*; the checkpoint of step \d+',
  ):
    train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  for step in checkpoint.steps(tmp_path / 'run'):
    run = checkpoint.load(tmp_path / 'run', mesh.make('data=1'), step)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(run.state.params))


def test_a_signal_saves_and_ends_the_process(tmp_path):
  """A real process, stopped in the middle; its exit code says by what."""
  folder = tmp_path / 'run'
  command = [
    *(sys.executable, '-m', 'i2i_jax.train', '--config=pix2pix:data=folder,runlocal', f'--workdir={folder}'),
    *('--config.data.name=tests.fake', '--config.steps=100000', '--config.log_every=1', '--config.eval_every=100000'),
    *('--config.checkpoint_every=100000', '--config.evals=psnr', '--config.samples=0', '--mesh=data=1'),
  ]
  environment = {**os.environ, 'XLA_FLAGS': UNPOLISHED}
  process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
  while len(read_log(folder / 'metrics.jsonl')) < 3:
    assert process.poll() is None, process.stdout.read()
    time.sleep(0.1)
  process.send_signal(signal.SIGTERM)
  output = process.communicate(timeout=120)[0]
  assert process.returncode == 128 + signal.SIGTERM, output
  steps = [line['step'] for line in losses(folder)]
  assert steps == list(range(1, len(steps) + 1))
  assert checkpoint.steps(folder) == [steps[-1]]  # no step is lost
  assert 'the same command resumes there' in output


def test_ctrl_c_saves_and_the_run_goes_on(tiny, tmp_path, monkeypatch, finished):
  """Of the step that was under way nothing is lost, and the end is that of a run that was never stopped."""
  update = Progress.update

  def interrupted(self):
    update(self)
    if len(self.ticks) == 2:
      os.kill(os.getpid(), signal.SIGINT)

  monkeypatch.setattr(Progress, 'update', interrupted)
  assert train.train(tiny, tmp_path / 'run', mesh_spec='data=1') == 130
  monkeypatch.undo()
  assert checkpoint.steps(tmp_path / 'run') == [2]
  assert train.train(tiny, tmp_path / 'run', mesh_spec='data=1') == 0
  assert losses(tmp_path / 'run') == losses(finished)
  assert_same(state_of(tmp_path / 'run'), state_of(finished))


# ---------------------------------------------------------------------------------------------- the command line
@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    (['--config.optim.lrr=1'], "--config.optim.lrr: the config has no such field: did you mean 'lr'?"),
    (['--config.optimm.lr=1'], "did you mean 'optim'?"),
    (['--config.steps=many'], 'steps=many'),
    (['--config.optim.lr=nan'], 'config.optim.lr = nan must be a finite number'),
    (
      ['--config.loss.reconstruction_weight=-1'],
      'config.loss.reconstruction_weight = -1.0 must be a finite number, zero or more',
    ),
    (['stray'], "'stray' is not an option"),
    (['--conig=x'], 'conig'),
  ],
)
def test_bad_overrides_are_one_line(arguments, words):
  with pytest.raises(BadInput) as error:
    config.load(['--config=pix2pix:data=folder', *arguments])
  assert words in str(error.value)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('spec', 'words'),
  [
    ('configs/nowhere.py', 'there is no file configs/nowhere.py'),
    ('pix2pix:sise=64', "argument 'sise' is not known: did you mean 'size'?"),
    ('pix2pix:size=big', "argument 'size': 'big' is not int"),
  ],
)
def test_bad_config_names_are_one_line(spec, words):
  with pytest.raises(BadInput) as error:
    config.load([f'--config={spec}'])
  assert words in str(error.value)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('field', 'value', 'words'),
  [
    ('method', 'pix2pics', "config.method = 'pix2pics' is not known: did you mean 'pix2pix'?"),
    ('data.name', 'earht', "did you mean 'earth'?"),
    ('loss.gan', 'vanila', "did you mean 'vanilla'?"),
    ('optim.schedule', 'liner', "did you mean 'linear'?"),
    ('precision', 'float23', "did you mean 'float32'?"),
    ('test.batch_stats', 'runing', "did you mean 'running'?"),
    ('gen.norm', 'instanse', "did you mean 'instance'?"),
    ('gen.padding', 'mirror', 'it is one of'),
    ('batch_size', 0, 'config.batch_size = 0 must be a whole number, from 1 to 2147483647'),
    ('batch_size', 12, 'cannot be split over 8 devices'),
    ('batch_size', 64, 'too few images for a batch'),
    ('data.crop_size', (16, 24, 1), 'must be 2 whole numbers, from 1 to 16384: (height, width)'),
    ('data.crop_size', (12, 24), 'multiples of 8'),
    ('data.crop_size', (40, 24), 'smaller than crop_size'),
  ],
)
def test_bad_values_are_refused_before_anything_is_made(tiny, tmp_path, field, value, words):
  with tiny.unlocked():
    part = tiny
    *path, name = field.split('.')
    for key in path:
      part = part[key]
    part[name] = value
  with pytest.raises(BadInput) as error:
    train.train(tiny, tmp_path / 'run')
  assert words in str(error.value)
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'run').exists()


def test_the_command_exits_with_2_and_one_line(command, tmp_path):
  result = command('i2i_jax.train', '--config=pix2pix:data=folder,path=/nowhere', f'--workdir={tmp_path / "x"}')
  assert result.returncode == 2
  assert result.stderr.strip() == 'error: config.data.path: there is no folder /nowhere'
  assert not (tmp_path / 'x').exists()


def test_a_file_that_breaks_while_training_is_named(tiny, picture_folder, tmp_path):
  """Its header is good, its pixels are not."""
  broken = picture_folder / 'train' / '2.png'
  broken.write_bytes(broken.read_bytes()[:-3000])
  with tiny.unlocked():
    tiny.data.update({'name': 'folders', 'path': str(picture_folder)})
    tiny.update({'batch_size': 2, 'samples': 0})
  with pytest.raises(RunFault, match=r'2.png: cannot be read as an image'):
    train.train(tiny, tmp_path / 'run', mesh_spec='data=1')


@pytest.mark.parametrize(
  ('raised', 'code', 'said'),
  [
    (BadInput('field: no'), 2, 'error: field: no'),
    (RunFault('step 3: nan'), 1, 'error: step 3: nan'),
    (OSError(errno.ENOSPC, 'full', '/disk'), 1, 'error: /disk: no room on disk; make room and give the same command'),
    (KeyboardInterrupt(), 130, 'stopped'),
    (None, 3, ''),
  ],
)
def test_the_exit_code_says_whose_fault_it_is(monkeypatch, capsys, raised, code, said):
  monkeypatch.setattr(cli.memory, 'use_huge_pages', lambda: None)
  monkeypatch.setattr(cli, 'prepare', lambda: None)

  def main():
    if raised:
      raise raised
    return 3

  with pytest.raises(SystemExit) as ended:
    cli.run(main)
  assert ended.value.code == code and capsys.readouterr().err.strip() == said


def test_help_and_describe(command):
  helped = command('i2i_jax.train', '--help')
  assert helped.returncode == 0
  assert 'the same command resumes there' in helped.stdout
  described = command('i2i_jax.train', '--config=pix2pix:size=256', '--describe')
  assert 'gen: 54,413,955 parameters' in described.stdout.splitlines()
  assert 'disc: 2,768,705 parameters' in described.stdout.splitlines()
  assert described.stdout.count('can be written by export_torch') == 2


def test_a_short_run_logs_its_last_step(tiny, tmp_path):
  with tiny.unlocked():
    tiny.update({'steps': 3, 'log_every': 50, 'eval_every': 50})
  train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  logged = [line['step'] for line in read_log(tmp_path / 'run' / 'metrics.jsonl') if 'loss/gen' in line]
  assert logged == [3]
  assert '"steps_done": 3' in report.write(tmp_path / 'run').read_text()
