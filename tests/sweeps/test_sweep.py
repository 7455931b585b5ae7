"""Sweeps: what is run, what is not run again, what a failure does; the table against NumPy; the page."""

import csv
import datetime
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from i2i_jax import cli, data, sweep, train
from i2i_jax.config import override, to_dict
from i2i_jax.data import images
from i2i_jax.errors import BadInput, RunFault
from i2i_jax.evaluation import chosen, metrics
from i2i_jax.runs import checkpoint
from i2i_jax.runs.folder import write_json
from i2i_jax.sweeps import plots, stats, table
from i2i_jax.sweeps import report as sweep_report
from i2i_jax.sweeps import run as sweep_run
from i2i_jax.sweeps.experiment import read_experiment

ROOT = Path(__file__).parents[2]

EXPERIMENT = '''"""Does a wider discriminator help?

On made-up pairs."""
CONFIG = 'pix2pix:size=64'
FIELDS = {
  'steps': 4, 'eval_every': 2, 'evals': 'psnr', 'batch_size': 2, 'log_every': 1, 'samples': 0, 'gen.depth': 2,
  'gen.width': 4, 'disc.layers': 1, 'disc.width': 4, 'data.name': 'tests.fake', 'data.load_size': (12, 12),
  'data.crop_size': (12, 12),
}
def sweep():
  yield 'narrow', {}
  yield 'wide', {'disc.width': 8}
'''


@pytest.fixture
def experiment(tmp_path):
  file = tmp_path / 'toy.py'
  file.write_text(EXPERIMENT)
  return file


def start(experiment, workdir, *arguments):
  return subprocess.Popen(
    [sys.executable, '-m', 'i2i_jax.sweep', f'--experiment={experiment}', f'--workdir={workdir}', *arguments],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def test_the_note_tells_when_a_sweep_began_and_how_long_all_its_sessions_took(tmp_path):
  sweep_report.note(tmp_path / 'about.json', 'first', 100.0, done=2)
  about = sweep_report.note(tmp_path / 'about.json', 'second', 20.0, done=3)
  spent = datetime.datetime.fromisoformat(about['ended']) - datetime.datetime.fromisoformat(about['started'])
  assert 100 <= spent.total_seconds() < 160
  assert (about['command'], about['seconds'], about['runs']) == ('second', 120.0, 3)
  assert sweep_report.note(tmp_path / 'about.json', 'nothing was left', 5.0, done=3) == about


@pytest.mark.slow
def test_a_sweep_that_was_killed_gives_the_same_table_to_the_last_digit(experiment, tmp_path):
  straight = start(experiment, tmp_path / 'straight', '--seeds=2', '--jobs=2')
  said = straight.communicate(timeout=900)[0]
  assert straight.returncode == 0, said

  killed = start(experiment, tmp_path / 'killed', '--seeds=2', '--jobs=1')
  first = tmp_path / 'killed' / 'narrow' / 'seed0'
  while not checkpoint.steps(first):  # in the middle of a run
    assert killed.poll() is None, killed.stdout.read()
    time.sleep(0.05)
  killed.kill()
  killed.communicate()
  again = start(experiment, tmp_path / 'killed', '--seeds=2', '--jobs=2')
  said = again.communicate(timeout=900)[0]
  assert again.returncode == 0, said
  for name in ('table.csv', 'table.md', 'table.tex'):
    assert (tmp_path / 'killed' / name).read_bytes() == (tmp_path / 'straight' / name).read_bytes()
  rows = list(csv.DictReader(io.StringIO((tmp_path / 'straight' / 'table.csv').read_text())))
  assert [row['variant'] for row in rows] == ['narrow', 'wide']
  assert rows[0]['psnr_mean'] != rows[1]['psnr_mean']
  assert (tmp_path / 'straight' / 'sweep.html').stat().st_size > 10_000


def test_a_step_that_is_just_being_saved_does_not_count(tmp_path):
  for name in ('2', '4.orbax-checkpoint-tmp'):
    (tmp_path / 'checkpoints' / name).mkdir(parents=True)
    (tmp_path / 'checkpoints' / name / '_CHECKPOINT_METADATA').touch()
  assert checkpoint.steps(tmp_path) == [2]


# ------------------------------------------------------------------------- the scheduler, with runs that take no time


def stub(monkeypatch, code: str):
  """Runs become Python one-liners: argv is [variant, seed, folder]."""
  started = []

  def begin(run, slot, metric, variables):
    started.append((run.variant, run.seed))
    run.folder.mkdir(parents=True, exist_ok=True)
    with open(run.log, 'a') as log:
      return subprocess.Popen(
        [sys.executable, '-c', code, run.variant, str(run.seed), str(run.folder)],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
      )

  monkeypatch.setattr(sweep, 'start', begin)
  monkeypatch.setattr(sweep, 'POLL_SECONDS', 0.01)
  return started


def runs_of(experiment, workdir, seeds=2):
  configs = sweep.variant_configs(read_experiment(experiment), [], workdir / 'widths.json')
  return sweep.plan(configs, workdir, seeds)


RESULT = {'step': 2, 'fingerprints': {}, 'scores': {}, 'cost': dict.fromkeys(table.COSTS, 1.0), 'seconds': 1.0}
DONE = (
  'import sys, pathlib; pathlib.Path(sys.argv[3], "result.json").write_text('
  f"'{json.dumps({**RESULT, 'scores': {name: [] for name in metrics.without_weights()}})}')"
)


def test_only_what_is_not_done_is_run_first_seeds_first(experiment, tmp_path, monkeypatch):
  started = stub(monkeypatch, DONE)
  runs = runs_of(experiment, tmp_path / 'w')
  assert sweep.run_all(runs[:1], 1, read_experiment(experiment), 4) == ([], 0)
  todo = [run for run in runs if not sweep.is_done(run, 'pixel')]
  assert sweep.run_all(todo, 2, read_experiment(experiment), 4) == ([], 0)
  assert started == [('narrow', 0), ('wide', 0), ('narrow', 1), ('wide', 1)]


def test_a_failed_run_is_told_with_its_last_line_and_the_rest_go_on(experiment, tmp_path, monkeypatch, capsys):
  fails = 'import sys; sys.argv[1:3] == ["wide", "0"] and sys.exit("error: it broke"); ' + DONE
  stub(monkeypatch, fails)
  monkeypatch.setattr(sweep_report, 'write', lambda *args, **kwargs: [])
  monkeypatch.setattr(
    sys, 'argv', ['sweep', f'--experiment={experiment}', f'--workdir={tmp_path / "w"}', '--seeds=2']
  )
  with pytest.raises(RunFault, match=r'1 of 4 runs failed[^\n]*\n  wide/seed0: error: it broke \(exit code 1;'):
    sweep.main()
  assert (tmp_path / 'w' / 'wide' / 'seed1' / 'result.json').exists()
  assert '4/4' in capsys.readouterr().err


def test_a_signal_stops_the_runs_and_is_passed_on_once(experiment, tmp_path, monkeypatch):
  """A run that is asked to stop has the time to save."""
  waits = (
    'import signal, sys, time, pathlib\n'
    'def stop(*_):\n  time.sleep(.2); pathlib.Path(sys.argv[3], "saved").touch(); sys.exit(143)\n'
    'signal.signal(signal.SIGTERM, stop); pathlib.Path(sys.argv[3], "up").touch()\n'
    'while True: time.sleep(.01)'
  )
  started = stub(monkeypatch, waits)
  runs = runs_of(experiment, tmp_path / 'w')
  asked = cli.Stop.__enter__

  def enter(self):
    asked(self)
    poll = subprocess.Popen.poll

    def watch(process):
      if sum((run.folder / 'up').exists() for run in runs) == 2 and not self.signal:
        os.kill(os.getpid(), signal.SIGTERM)
      return poll(process)

    monkeypatch.setattr(subprocess.Popen, 'poll', watch)
    return self

  monkeypatch.setattr(cli.Stop, '__enter__', enter)
  assert sweep.run_all(runs, 2, read_experiment(experiment), 4) == ([], signal.SIGTERM)
  assert len(started) == 2
  assert sum((run.folder / 'saved').exists() for run in runs) == 2


def test_another_configs_run_is_refused_and_not_mixed_in(experiment, tmp_path):
  run = runs_of(experiment, tmp_path / 'w')[0]
  run.folder.mkdir(parents=True)
  write_json(run.folder / 'config.json', to_dict(run.config))
  runs_of(experiment, tmp_path / 'w')
  experiment.write_text(EXPERIMENT.replace("'steps': 4", "'steps': 6"))
  with pytest.raises(BadInput, match=r'config.steps: 4 -> 6'):
    runs_of(experiment, tmp_path / 'w')


def command(monkeypatch, experiment, workdir, *arguments):
  monkeypatch.setattr(sys, 'argv', ['sweep', f'--experiment={experiment}', f'--workdir={workdir}', *arguments])
  monkeypatch.setattr(sweep_report, 'write', lambda *args, **kwargs: [])
  return sweep.main()


def test_a_folder_of_something_else_is_left_alone(experiment, tmp_path, monkeypatch):
  """Somebody's own files, another experiment's sweep, and the same one that chose its checkpoints otherwise."""
  stub(monkeypatch, DONE)
  paper = tmp_path / 'paper'
  paper.mkdir()
  (paper / 'table.tex').write_text('mine')
  with pytest.raises(BadInput, match=r'no sweep of ours \(it holds table.tex\)'):
    command(monkeypatch, experiment, paper)
  assert [p.name for p in paper.iterdir()] == ['table.tex']
  assert command(monkeypatch, experiment, tmp_path / 'w', '--seeds=1') == 0
  other = experiment.with_name('other.py')
  other.write_text(EXPERIMENT)
  with pytest.raises(BadInput, match=r'another experiment.s sweep .*toy.py -> other.py'):
    command(monkeypatch, other, tmp_path / 'w')
  experiment.write_text(EXPERIMENT + "METRIC = 'l1'")
  with pytest.raises(BadInput, match='psnr -> l1'):
    command(monkeypatch, experiment, tmp_path / 'w')


def test_runs_of_other_images_are_not_mixed_in(experiment, tmp_path, monkeypatch):
  stub(monkeypatch, DONE.replace('{}', '{"train": "x", "val": "y", "test": "of before"}', 1))
  assert command(monkeypatch, experiment, tmp_path / 'w', '--seeds=1') == 0
  with pytest.raises(BadInput, match=r'narrow/seed0 is of other images \(data.test: of before -> fake-test'):
    command(monkeypatch, experiment, tmp_path / 'w', '--seeds=2')


def test_a_done_sweep_of_wrong_pairs_is_taken_up_again(experiment, tmp_path):
  """Which of its pairs are wrong depends on the seed, and so does the fingerprint of the data."""
  experiment.write_text(EXPERIMENT.replace("'wide', {", "'wide', {'data.wrong_pairs': 0.5, "))
  runs = runs_of(experiment, tmp_path / 'w', seeds=2)
  for run in runs:
    run.folder.mkdir(parents=True)
    found = {split: data.get(run.config, split).fingerprint for split in data.SPLITS}
    write_json(run.folder / 'result.json', {**RESULT, 'fingerprints': found})
  sweep.check_data(runs)


def test_checkpoints_are_not_chosen_on_test(experiment, tmp_path, monkeypatch, picture_folder):
  """Of a user's folder without val/, whose test/ stands in; and what has no partners cannot be scored."""
  fields = ['--config.data.name=folders', f'--config.data.path={picture_folder}', '--config.data.channels_a=1']
  with pytest.raises(BadInput, match='chosen on test; add a val/ folder'):
    command(monkeypatch, experiment, tmp_path / 'w', *fields)
  assert not (tmp_path / 'w').exists()


@pytest.mark.parametrize(
  'field', ['--config.steps', '20', '--config.seed=3', '--config=configs/common.py', '--stepz=3']
)
def test_what_is_no_field_of_all_runs_is_refused(experiment, tmp_path, monkeypatch, field):
  with pytest.raises(BadInput, match=r'a field of all runs is set by --config.NAME=VALUE'):
    command(monkeypatch, experiment, tmp_path / 'w', field)


def test_each_scored_checkpoint_stays_however_often_a_run_is_stopped(experiment, tmp_path):
  """Stops leave checkpoints of their own, which must not push out one that validation may choose."""
  config = runs_of(experiment, tmp_path / 'w')[0].config
  override(config, {'keep': 1})
  for end in (3, 4):
    train.train(config, tmp_path / 'run', mesh_spec='data=1', stop_at=end)
  assert {2, 4} <= set(checkpoint.steps(tmp_path / 'run'))


@pytest.mark.parametrize(
  ('old', 'new', 'reason'),
  [
    ('CONFIG =', 'KONFIG =', 'has no CONFIG'),
    ('"""Does', 'x = """Does', 'has no docstring'),
    ("'wide'", "'narrow'", 'must differ'),
    ("'wide'", "'../wide'", 'letters'),
    ("'disc.width': 8", "'disc.widht': 8", 'did you mean'),
    ("'disc.width': 8", "'disc.width': 'eight'", 'disc.width'),
  ],
)
def test_a_wrong_experiment_is_refused_in_one_line(experiment, tmp_path, old, new, reason):
  experiment.write_text(EXPERIMENT.replace(old, new))
  with pytest.raises(BadInput, match=reason):
    runs_of(experiment, tmp_path / 'w')
  assert not (tmp_path / 'w').exists()


def test_fields_of_the_command_line_are_set_last(experiment, tmp_path):
  configs = sweep.variant_configs(read_experiment(experiment), ['--config.disc.width=6'], tmp_path / 'w')
  assert [config.disc.width for config, _ in configs.values()] == [6, 6]


# ----------------------------------------------------------------------------------------------------- one run


def test_a_run_is_scored_at_the_checkpoint_that_is_best_on_validation(tiny, tmp_path, monkeypatch):
  override(tiny, {'eval_every': 2, 'checkpoint_every': 2, 'keep': 4})
  folder = tmp_path / 'run'
  train.train(tiny, folder, mesh_spec='data=1')
  log = folder / 'metrics.jsonl'
  lines = [json.loads(line) for line in log.read_text().splitlines()]
  planted = {2: 10.0, 4: 30.0, 6: 20.0, 0: 99.0}  # nothing was saved at 0
  for line in lines:
    if 'val/psnr' in line:
      line['val/psnr'] = planted[line['step']]
      line['val/l1'] = -planted[line['step']]
  log.write_text(''.join(json.dumps(line) + '\n' for line in lines))
  assert chosen.best_step(folder) == chosen.best_step(folder, 'l1') == 4
  assert sweep_run.run(tiny, folder, 'psnr') == 0
  result = json.loads((folder / 'result.json').read_text())
  assert result['step'] == 4
  assert checkpoint.steps(folder) == [4]
  assert len(result['scores']['psnr']) == 4
  assert result['curves']['val/psnr'] == [[0, 99.0], [2, 10.0], [4, 30.0], [6, 20.0]]
  assert json.loads((folder / 'eval_test.json').read_text())['step'] == 4

  # A metric that came later: the run is scored again, and not trained.
  run = sweep.Trial('base', 0, tiny, folder)
  assert sweep.is_done(run, 'pixel')
  mse = metrics.Metric(lambda images, targets: ((images - targets) ** 2).mean((1, 2, 3)), 'MSE', 5)
  monkeypatch.setitem(metrics.METRICS, 'mse', mse)
  jax.clear_caches()
  assert not sweep.is_done(run, 'pixel')
  assert sweep_run.run(tiny, folder, 'psnr') == 0
  again = json.loads((folder / 'result.json').read_text())
  assert sweep.is_done(run, 'pixel') and again['step'] == 4 and checkpoint.steps(folder) == [4]
  assert np.log10(4 / np.array(again['scores']['mse'])) * 10 == pytest.approx(result['scores']['psnr'], rel=1e-4)
  assert {**again['scores'], 'mse': 0} == {**result['scores'], 'mse': 0}
  monkeypatch.undo()
  jax.clear_caches()


# ---------------------------------------------------------------------------------------------- the table, the page


def results(tmp_path, seeds=3, pictures=False):
  rng = np.random.default_rng(0)
  out = []
  for offset, variant in enumerate(('base', 'a_b', 'c')):
    for seed in range(seeds - (variant == 'c')):
      folder = tmp_path / variant / f'seed{seed}'
      if pictures:
        (folder / 'eval_test').mkdir(parents=True)
        for kind in ('input', 'output', 'target'):
          images.write_png(folder / 'eval_test' / f'x_{kind}.png', rng.integers(0, 255, (8, 8, 3), np.uint8))
      scores = {'psnr': 20 + offset + rng.normal(size=6), 'ssim': rng.random(6), 'l1': rng.random(6)}
      result = {
        'scores': {k: v.tolist() for k, v in scores.items()},
        'cost': dict.fromkeys(table.COSTS, 1234567.0) | {'step_seconds': rng.random()},
        'seconds': rng.random(),
        'curves': {'val/psnr': [[0, 10.0], [5, 20.0 + offset + seed]]},
      }
      out.append((variant, seed, folder, result))
  return out, {'base': 1.0, 'a_b': 1.013, 'c': 0.99}


GROUPS = ['x', 'x', 'y', 'y', 'z', 'z']
IMAGES = sweep.Images([f'tile{i}' for i in range(6)], GROUPS)


def compared(done, ratios):
  base, *others = ratios
  return table.comparisons(done, [*((name, base) for name in others), ('a_b', 'c')], GROUPS)


def test_the_table_is_of_means_deviations_and_paired_differences(tmp_path):
  done, ratios = results(tmp_path)
  found = compared(done, ratios)
  rows = table.rows(done, ratios, found)
  scores = {name: np.array([r['scores']['psnr'] for variant, _, _, r in done if variant == name]) for name in ratios}
  for row in rows:
    mine = scores[row['variant']]
    assert row['seeds'] == len(mine)
    assert row['psnr_mean'] == pytest.approx(mine.mean())
    assert row['psnr_sd'] == pytest.approx(mine.mean(1).std(ddof=1))
  assert np.isnan(rows[0]['psnr_diff'])
  # c lacks a seed: it is compared with the baseline's other two.
  expected = stats.compare(scores['c'] - scores['base'][:2], GROUPS)
  assert (rows[2]['psnr_diff'], rows[2]['psnr_low'], rows[2]['psnr_high']) == expected[:3]
  # The pair that is asked for besides counts among the comparisons that p is corrected for; two seeds have no p.
  assert [(x['variant'], x['against']) for x in found] == [('a_b', 'base'), ('c', 'base'), ('a_b', 'c')]
  assert found[2]['psnr_diff'] == pytest.approx((scores['a_b'][:2] - scores['c']).mean())
  alone = stats.compare(scores['a_b'] - scores['base'], GROUPS).p
  assert rows[1]['psnr_p'] == found[0]['psnr_p'] == pytest.approx(alone) and np.isnan(found[1]['psnr_p'])
  more, ratios = results(tmp_path, seeds=4)
  values = [stats.compare(np.subtract(*(np.array([r['scores']['psnr'] for v, s, _, r in more if v == name and s < 3])
    for name in pair)), GROUPS).p for pair in (('c', 'base'), ('a_b', 'c'))]  # fmt: skip
  found = table.comparisons([x for x in more if x[1] < 3], [('c', 'base'), ('a_b', 'c')], GROUPS)
  assert [x['psnr_p'] for x in found] == pytest.approx(stats.holm(values))
  text = table.as_csv(rows)
  read = list(csv.DictReader(io.StringIO(text)))
  assert float(read[2]['psnr_diff']) == expected.mean
  assert read[0]['psnr_diff'] == ''
  for again, row in zip(table.read(io.StringIO(text)), rows, strict=True):
    assert again.keys() == row.keys()
    for name in row:
      np.testing.assert_equal(again[name], row[name])


def test_a_score_of_the_whole_set_stands_beside_those_of_images(tmp_path):
  done, ratios = results(tmp_path)
  for i, (_, _, _, result) in enumerate(done):
    result['set_scores'] = {'kd': float(i)}
  found = compared(done, ratios)
  rows = table.rows(done, ratios, found)
  assert rows[1]['kd_mean'] == pytest.approx(4) and rows[1]['kd_diff'] == pytest.approx(3)
  heads, lines = table.cells(rows, ['psnr', 'ssim', 'l1', 'kd'])
  assert heads[2].startswith('PSNR') and heads[8].startswith('KD') and lines[1][8] == '4.000 ± 1.000'


def test_a_star_says_that_the_corrected_p_is_small(tmp_path):
  done, ratios = results(tmp_path)
  found = compared(done, ratios)
  rows = table.rows(done, ratios, found)
  for p, star in ((0.049, True), (0.051, False), (float('nan'), False)):
    text = table.difference({'psnr_diff': 0.2, 'psnr_low': 0.1, 'psnr_high': 0.3, 'psnr_p': p}, 'psnr')
    assert text == '+0.20 [+0.10, +0.30]' + ' *' * star
  cells = table.cells(rows, ['psnr', 'ssim', 'l1'])
  lines = table.as_markdown(*cells).splitlines()
  assert len({line.count('|') for line in lines}) == 1
  assert '101.3%' in lines[3] and '1.23 M' in lines[3]
  assert [cell.count('difference') for cell in cells[0]].count(1) == 3  # of each metric
  lines = table.as_markdown(*table.comparison_cells(found, ['psnr', 'ssim', 'l1'])).splitlines()
  assert len(lines) == 5 and lines[4].startswith('| a_b | c |')
  latex = table.as_latex(*cells)
  assert r'a\_b' in latex and r'101.3\%' in latex and '±' not in latex


def test_nothing_in_the_table_was_measured_with_a_clock(tmp_path):
  done, ratios = results(tmp_path)
  before = table.as_csv(table.rows(done, ratios, compared(done, ratios))), table.as_csv(table.times(done))
  for *_, result in done:
    result['cost']['step_seconds'] += 1
    result['seconds'] += 1
  assert table.as_csv(table.rows(done, ratios, compared(done, ratios))) == before[0]
  assert table.as_csv(table.times(done)) != before[1]


def test_the_page_of_a_sweep_opens_offline_without_an_error(experiment, tmp_path, page):
  done, ratios = results(tmp_path, pictures=True)
  kwargs = {'command': 'python -m i2i_jax.sweep --experiment=<a b>', 'seconds': 61}
  paths = sweep_report.write(tmp_path, read_experiment(experiment), done, ratios, IMAGES, **kwargs)
  page.goto(paths[-1].absolute().as_uri())
  assert page.locator('h1').inner_text() == 'Does a wider discriminator help?'
  assert page.locator('#table tr').count() == 4
  assert page.locator('#comparisons tr').count() == 3
  lines = list(csv.DictReader(io.StringIO(gzip.decompress((tmp_path / 'scores.csv.gz').read_bytes()).decode())))
  assert len(lines) == (3 + 3 + 2) * 6
  assert (lines[7]['variant'], lines[7]['seed'], lines[7]['image'], lines[7]['group']) == ('base', '1', 'tile1', 'x')
  assert float(lines[7]['psnr']) == pytest.approx(done[1][3]['scores']['psnr'][1])
  assert page.locator('.plots img').count() == 4
  assert page.locator('.pictures img').count() == 5  # input, target, three variants
  assert page.locator('.pictures th').all_inner_texts() == ['input', 'target', 'base', 'a_b', 'c']
  assert kwargs['command'] in page.locator('pre').inner_text()
  assert all(page.evaluate('[...document.images].map(i => i.complete && i.naturalWidth > 0)'))
  assert page.faults == []


def test_without_matplotlib_a_line_says_what_is_missing(tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'matplotlib.figure', None)
  done, ratios = results(tmp_path)
  assert plots.draw(tmp_path / 'p', table.rows(done, ratios, []), table.times(done), done, ['psnr']) == {}
  assert "pip install -e '.[experiments]'" in capsys.readouterr().out
