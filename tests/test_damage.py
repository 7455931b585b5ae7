"""Damaged files of a run: one line names file and remedy, and what can go on does."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from i2i_jax import data, options, sweep, train
from i2i_jax.config import to_dict
from i2i_jax.errors import BadInput, RunFault
from i2i_jax.evaluation import chosen, scoring
from i2i_jax.inference import unlike
from i2i_jax.pages import report
from i2i_jax.plan import make_plan
from i2i_jax.runs import checkpoint, folder, stored
from i2i_jax.runs.log import read_log, truncate
from i2i_jax.sweeps import run as sweep_run
from i2i_jax.training import begin
from tests.damage import DAMAGE, variants
from tests.small import tiny_config


@pytest.fixture(scope='module')
def scored(finished, tmp_path_factory):
  """A run of a sweep that is done: eval_test.json and result.json, and the chosen checkpoint alone."""
  run = tmp_path_factory.mktemp('scored') / 'run'
  shutil.copytree(finished, run)
  assert sweep_run.run(tiny_config(), run, 'psnr') == 0
  return run


@pytest.fixture
def copy(scored, tmp_path):
  """A copy of `scored` without its pictures, which take the time of a page."""
  shutil.copytree(scored, tmp_path / 'run', ignore=shutil.ignore_patterns('*.png', 'tensorboard'))
  return tmp_path / 'run'


def readers(run, config):
  """By file: what reads it without computing anything."""
  trial = sweep.Trial('run', 0, config, run)

  def evaluate_options():
    sys.argv = ['i2i', f'--workdir={run}', '--step=6']
    options.evaluate()

  def table():
    if result := scoring.stored(run / 'eval_test.json', 6, 'newest', ['psnr'], ['pix2pix'], []):
      scoring.table(result)

  return {
    'config.json': [
      evaluate_options, lambda: folder.check(run, config), lambda: sweep.plan({'run': (config, 1.0)}, run.parent, 1)
    ],
    'run.json': [lambda: folder.note(run, mark=1), lambda: folder.note_time(run, 1.0, 0.1)],
    'eval_test.json': [table],
    'metrics.jsonl': [lambda: chosen.best_step(run), lambda: truncate(run / 'metrics.jsonl', 6)],
    'result.json': [lambda: sweep.is_done(trial, 'pixel')],
  }  # fmt: skip


@pytest.mark.parametrize('name', ['config.json', 'run.json', 'eval_test.json', 'metrics.jsonl', 'result.json'])
def test_no_reader_of_a_damaged_file_ends_in_a_traceback(copy, tiny, name, monkeypatch, capsys):
  monkeypatch.setattr(sys, 'argv', sys.argv)
  for index, damage in enumerate(variants((copy / name).read_bytes())):
    if name == 'config.json' and index >= len(DAMAGE) and index % 7:
      continue  # it has a thousand
    page = [lambda: report.write(copy)] if index % 8 == 0 or index < len(DAMAGE) else []  # it takes longest
    for read in [*readers(copy, tiny)[name], *page]:
      (copy / name).write_bytes(damage)
      try:
        read()
      except (BadInput, RunFault) as error:
        assert '\n' not in str(error), (damage[:80], error)
        told = name in str(error) or "another config's run" in str(error) or 'no checkpoint has a val/' in str(error)
        assert told, (damage[:80], error)
  assert 'warning: ' in capsys.readouterr().err or name == 'metrics.jsonl'


@pytest.mark.parametrize('kind', DAMAGE)
def test_a_damaged_record_does_not_end_resuming(run, tiny, kind, capsys):
  """config.json and run.json are written again, a torn line of the log is left out."""
  for name in ('config.json', 'run.json'):
    (run / name).write_bytes(DAMAGE[kind]((run / name).read_bytes()))
  if kind != 'cut':  # the whole way once
    folder.check(run, tiny)
    assert folder.read_notes(run) == {}
    return
  with open(run / 'metrics.jsonl', 'a') as log:
    log.write('{"step": 6, "loss/l')
  with tiny.unlocked():
    tiny.steps = 7
  assert train.train(tiny, run, mesh_spec='data=1') == 0
  said = capsys.readouterr().err
  assert "config.json is damaged: not JSON; its newest checkpoint's is taken" in said
  assert 'run.json is damaged: not JSON; what it said of earlier sessions is left out' in said
  assert checkpoint.steps(run)[-1] == 7 and read_log(run / 'metrics.jsonl')[-1]['step'] == 7
  assert json.loads((run / 'config.json').read_text())['steps'] == 7
  notes = json.loads((run / 'run.json').read_text())
  assert notes['data']['train'] == 16 and notes['seconds'] > 0
  for line in (run / 'metrics.jsonl').read_text().splitlines():
    json.loads(line)


def test_a_damaged_config_without_a_checkpoint_is_refused(tiny, run):
  shutil.rmtree(run / 'checkpoints')
  (run / 'config.json').write_text('[')
  with pytest.raises(BadInput, match=r'config.json is damaged: not JSON; name another --workdir'):
    folder.check(run, tiny)


def test_another_configs_run_is_refused_though_its_record_is_damaged(tiny, run):
  (run / 'config.json').write_text('[')
  with tiny.unlocked():
    tiny.optim.lr = 1e-3
  with pytest.raises(BadInput, match=r"another config's run \(config.optim.lr: 0.0002 -> 0.001\)"):
    folder.check(run, tiny)


def test_damaged_scores_and_a_damaged_result_are_made_again_without_training(
  scored, tiny, tmp_path, monkeypatch, capsys
):
  shutil.copytree(scored, tmp_path / 'run')
  run = tmp_path / 'run'
  whole = {name: (run / name).read_text() for name in ('eval_test.json', 'result.json')}
  for name, text in whole.items():
    (run / name).write_text(text[: len(text) // 2])
  trial = sweep.Trial('run', 0, tiny, run)
  assert not sweep.is_done(trial, 'pixel')
  monkeypatch.setattr(train, 'train', lambda *args, **kwargs: pytest.fail('it trains'))
  assert sweep_run.run(tiny, run, 'psnr') == 0
  said = capsys.readouterr().err
  assert 'eval_test.json is damaged: not JSON; it is scored again' in said
  assert 'result.json is damaged: not JSON; it is made again, from its checkpoint' in said
  assert sweep.is_done(trial, 'pixel')
  for name, text in whole.items():
    assert json.loads((run / name).read_text()) == json.loads(text)


def test_a_page_leaves_damaged_scores_out(copy, capsys):
  (copy / 'eval_val.json').write_text('{}')
  text = report.write(copy).read_text()
  assert '"test":' in text and '"val": {"protocol"' not in text
  assert "eval_val.json is damaged: it lacks 'protocol'; the page leaves it out" in capsys.readouterr().err


@pytest.mark.parametrize(
  ('change', 'words'),
  [
    (lambda meta: [], 'it is a list, not an object'),
    (lambda meta: {}, "it lacks 'config'"),
    (lambda meta: meta | {'config': []}, "'config' is a list, not an object"),
    (lambda meta: meta | {'rng': 'x'}, "'rng' is text, not a list"),
    (lambda meta: meta | {'rng': [1.5]}, "'rng[0]' is a number, not a whole number"),
    (lambda meta: meta | {'config': {'steps': 'x'}}, ".steps = 'x' must be a whole number"),
    (lambda meta: meta | {'config': {'optim': 3}}, 'optim is 3, not a group of fields'),
  ],
)
def test_damaged_metadata_of_a_checkpoint(tiny, copy, monkeypatch, change, words):
  """As it is once Orbax has read it."""
  from i2i_jax.runtime import mesh

  meta = change({'config': to_dict(tiny), 'fingerprint': 'x', 'rng': [0, 1], 'data': {}})

  class Checkpoints:
    directory = copy / 'checkpoints'

    def restore(self, step, args):
      return type('Restored', (), {'meta': meta})

    def close(self):
      pass

  monkeypatch.setattr(checkpoint.ocp, 'CheckpointManager', lambda *args, **kwargs: Checkpoints())
  with pytest.raises(BadInput) as refused:
    checkpoint.outline(copy, mesh.make('data=1'))
  assert words in str(refused.value) and '\n' not in str(refused.value)


def test_a_damaged_position_in_the_data_or_key_is_refused(tiny, run, monkeypatch):
  with tiny.unlocked():
    tiny.steps = 7
  plan = make_plan(tiny, run, mesh_spec='data=1')
  restore = checkpoint.restore_meta
  monkeypatch.setattr(checkpoint, 'restore_state', lambda *args: None)
  with checkpoint.manager(run) as checkpoints:
    iterator = data.train_iterator(plan.train_data, tiny)
    begin.resumed(plan, checkpoints, iterator)
    for change in ({'rng': [1]}, {'data': 'x'}, {'data': {}}, {'data': None}, {'rng': [-1, 2**40]}):
      monkeypatch.setattr(checkpoint, 'restore_meta', lambda *args, change=change: restore(*args) | change)
      with pytest.raises(BadInput, match=r'the position in the data or the random key is damaged'):
        begin.resumed(plan, checkpoints, iterator)


def test_a_sweeps_own_files(tmp_path, capsys):
  experiment = sweep.Experiment('', '', {}, '', 'psnr', 'pixel', (), [], [])
  (tmp_path / 'sweep.json').write_text('{"experiment": ')
  with pytest.raises(BadInput, match=r'sweep.json is damaged: not JSON; if this is the sweep of toy.py, write'):
    sweep.check_folder(tmp_path, Path('toy.py'), experiment)
  for name, shape in (('widths.json', stored.WIDTHS), ('about.json', stored.ABOUT)):
    (tmp_path / name).write_text('{"a": 3')
    assert stored.read_or({}, tmp_path / name, shape, 'it is made anew') == {}
    assert f'{name} is damaged: not JSON; it is made anew' in capsys.readouterr().err


@pytest.mark.parametrize('kind', DAMAGE)
def test_damaged_notes_on_the_training_images_are_left_out(tmp_path, kind, capsys):
  import numpy as np

  file = tmp_path / 'inputs_a.npz'
  unlike.save(file, unlike.Known(*(np.zeros(3) for _ in unlike.Known._fields)))
  file.write_bytes(DAMAGE[kind](file.read_bytes()))
  assert unlike.load(file) is None
  assert 'inputs_a.npz is damaged' in capsys.readouterr().err
