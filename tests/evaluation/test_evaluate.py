"""Scores against scikit-image, baselines against what they must find, and a whole evaluation of a run."""

import json
import re
import shutil

import jax
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from i2i_jax import data, train
from i2i_jax.data import images
from i2i_jax.errors import BadInput
from i2i_jax.evaluation import baselines, chosen, measure, metrics, scoring
from i2i_jax.inference import predictor
from i2i_jax.methods import base
from i2i_jax.pages import report
from i2i_jax.runs.log import read_log
from i2i_jax.runtime import mesh


def two_images(shape=(24, 31, 3), seed=0):
  rng = np.random.default_rng(seed)
  b = images.to_float(images.resize(rng.integers(0, 256, (6, 6, shape[-1]), np.uint8), shape[:2]))
  return np.clip(b + rng.normal(0, 0.2, shape), -1, 1).astype(np.float32), b


def of_pairs(fake, real):
  return measure.make(metrics.without_weights()).pairs(fake, real)


def test_scores_are_scikit_images():
  fake, real = two_images()
  scores = of_pairs(fake[None], real[None])
  assert scores['psnr'][0] == pytest.approx(peak_signal_noise_ratio(real, fake, data_range=2), rel=1e-5)
  # Structural similarity is not blind to an offset: both take images in [0, 1].
  options = {'gaussian_weights': True, 'use_sample_covariance': False, 'channel_axis': -1, 'data_range': 1}
  expected = structural_similarity((real + 1) / 2, (fake + 1) / 2, **options)
  assert scores['ssim'][0] == pytest.approx(expected, abs=1e-4)
  assert scores['l1'][0] == pytest.approx(np.abs(fake - real).mean(), rel=1e-5)


def test_outputs_beyond_the_range_are_clipped_before_they_are_scored():
  target = np.ones((1, 16, 16, 3), np.float32)
  assert of_pairs(target * 7, target * 0.5)['l1'][0] == pytest.approx(0.5)


def test_linear_regression_finds_a_linear_filter_and_its_neighbourhood():
  """b is a's left neighbour and a tenth: a 5x5 window can know it; colours and copies can't."""
  rng = np.random.default_rng(0)
  a = rng.uniform(-0.8, 0.8, (4, 20, 22, 3)).astype(np.float32)
  b = np.concatenate([a[:, :, :1], a[:, :, :-1]], axis=2)[..., :1] * 0.8 + 0.1
  fitted = baselines.fit([{'a': a[:2], 'b': b[:2]}, {'a': a[2:3], 'b': b[2:3]}], 1)
  np.testing.assert_allclose(fitted['linear'](a[3:]), b[3:], atol=1e-2)
  np.testing.assert_allclose(fitted['constant'](a[3:])[0, 0, 0], b[:3].mean((0, 1, 2)), atol=1e-5)
  np.testing.assert_allclose(fitted['copy'](a[3:]), a[3:].mean(-1, keepdims=True))


@pytest.mark.parametrize('count', [1, 16, 17])
def test_padding_of_batches_leaves_no_trace(count):
  """Any number of images over any number of devices: each output belongs to its input."""
  a = np.random.default_rng(0).normal(size=(count, 4, 4, 1)).astype(np.float32)
  for spec in ('data=1', 'data=3', 'data=8'):
    predict = predictor.Program(base.Translator(lambda state, x, rng: 2 * x + state, 'gen'), mesh.make(spec), 0)
    np.testing.assert_allclose(predict(np.float32(1), a), 2 * a + 1, rtol=1e-6)


def test_a_run_is_scored_beside_its_baselines(tiny, run, tmp_path, capsys):
  result = scoring.evaluate(tmp_path / 'run', 'test')
  saved = json.loads((tmp_path / 'run' / 'eval_test.json').read_text())
  assert saved == result
  assert result['protocol'] == 'pixel'
  assert (result['step'], result['images']) == (6, 4)
  assert set(result['scores']) == {'pix2pix', 'copy', 'constant', 'linear'}
  for who, scores in result['scores'].items():
    assert set(scores) == set(metrics.without_weights())
    for name, values in result['per_image'][who].items():
      assert scores[name] == pytest.approx(np.mean(values))
  assert result['scores']['constant']['energy_1'] < 0.01  # one colour has no detail
  batch = next(data.eval_batches(data.get(tiny, 'test'), tiny, 4))
  expected = of_pairs(batch['a'], batch['b'])
  assert result['scores']['copy']['l1'] == pytest.approx(float(expected['l1'].mean()), rel=1e-5)

  pictures = tmp_path / 'run' / 'eval_test'
  first = batch['name'][0]
  np.testing.assert_array_equal(images.read(pictures / f'{first}_target.png'), images.to_uint8(batch['b'][0]))
  output = images.to_float(images.read(pictures / f'{first}_output.png'))
  assert metrics.l1(output[None], batch['b'][:1])[0] == pytest.approx(
    result['per_image']['pix2pix']['l1'][0], abs=1 / 127.5
  )

  assert result['chosen'] == 'newest'
  assert scoring.evaluate(tmp_path / 'run', 'test', 6, chosen='best val/psnr')['chosen'] == 'best val/psnr'
  assert json.loads((tmp_path / 'run' / 'eval_test.json').read_text()) == {**result, 'chosen': 'best val/psnr'}
  result = scoring.evaluate(tmp_path / 'run', 'test')

  # Scored once: the second time nothing is computed.
  jax.clear_caches()
  capsys.readouterr()
  assert scoring.evaluate(tmp_path / 'run', 'test') == result
  assert 'already' in capsys.readouterr().out
  assert 'linear' in scoring.table(result)


def test_the_best_checkpoint_is_not_chosen_on_the_images_that_it_is_scored_on(
  tiny, tmp_path, picture_folder, command
):
  """The README's own layout has no val/: the test pictures serve for it."""
  with tiny.unlocked():
    tiny.data.update({'name': 'folders', 'path': str(picture_folder), 'channels_a': 1})
    tiny.update({'batch_size': 2, 'steps': 3, 'samples': 0})
  run = tmp_path / 'run'
  train.train(tiny, run, mesh_spec='data=1')
  refused = command('i2i_jax.evaluate', f'--workdir={run}', '--step=best')
  assert refused.returncode == 2, refused.stderr
  line = 'error: --step=best: the checkpoint would be chosen on the test images themselves'
  assert refused.stderr.startswith(line) and refused.stderr.count('\n') == 1
  assert not list(run.glob('eval_*'))

  shutil.copytree(picture_folder / 'train', picture_folder / 'val')
  chosen.check_choice(tiny, 'test')
  best = command('i2i_jax.evaluate', f'--workdir={run}', '--step=best')
  assert best.returncode == 0, best.stderr
  assert json.loads((run / 'eval_test.json').read_text())['chosen'] == 'best val/psnr'


@pytest.fixture
def rmse(monkeypatch):
  """A metric that was added to the file."""

  def function(images, targets):
    return np.sqrt(2) * ((images - targets) ** 2).mean((1, 2, 3)) ** 0.5

  monkeypatch.setitem(metrics.METRICS, 'rmse', metrics.Metric(function, 'RMSE', 5, unit='px', lower_is_better=True))
  jax.clear_caches()
  yield
  jax.clear_caches()


def test_a_metric_is_one_entry(tiny, run, tmp_path, capsys, request):
  """Scores from before it are made again; it is in the log, the table and the page."""
  folder = run
  before = scoring.evaluate(folder)
  request.getfixturevalue('rmse')
  result = scoring.evaluate(folder)
  assert result['scores']['pix2pix']['psnr'] == pytest.approx(before['scores']['pix2pix']['psnr'])
  assert set(result['scores']['linear']) == {*before['scores']['linear'], 'rmse'}
  heads, best = scoring.table(result).splitlines()[1:3]
  assert heads.split('   ')[-1].strip() == 'RMSE ↓, px' and re.search(r'\d\.\d{5}$', best)

  with tiny.unlocked():
    tiny.evals = 'pixel'
  train.train(tiny, tmp_path / 'new', mesh_spec='data=1')
  assert 'val/rmse' in read_log(tmp_path / 'new' / 'metrics.jsonl')[-1]
  page = report.write(folder).read_text()
  assert '"RMSE \\u2193, px"' in page

  capsys.readouterr()
  assert scoring.evaluate(folder) == result and 'already' in capsys.readouterr().out
  scoring.evaluate(folder, again=True)
  assert 'already' not in capsys.readouterr().out


def test_scores_of_a_metric_that_is_gone_are_still_shown(run, tmp_path):
  result = scoring.evaluate(tmp_path / 'run')
  for scores in result['scores'].values():
    scores['old'] = 1.0
  (tmp_path / 'run' / 'eval_test.json').write_text(json.dumps(result))
  assert scoring.table(scoring.evaluate(tmp_path / 'run')).splitlines()[1].endswith('OLD ↑')
  assert '"OLD' in report.write(tmp_path / 'run').read_text()


def test_a_folder_without_pairs_is_scored_beside_what_needs_none(tiny, tmp_path, monkeypatch):
  """Names match in test alone: the regression would need training pairs, and there are none."""
  rng, root = np.random.default_rng(0), tmp_path / 'photos'
  for folder, names in (('trainA', 'abcd'), ('trainB', 'efgh'), ('testA', 'xy'), ('testB', 'xy')):
    (root / folder).mkdir(parents=True)
    for name in names:
      images.write_png(root / folder / f'{name}.png', rng.integers(0, 256, (20, 30, 3), np.uint8))
  with tiny.unlocked():
    tiny.data.update({'name': 'folders', 'path': str(root), 'paired': False})
    tiny.batch_size = 2
  fitted = scoring.fit_rivals(tiny, 'ab')
  assert set(fitted) == {'copy', 'constant'}
  targets = [images.fit(images.read(file), (16, 24), 'stretch') for file in (root / 'trainB').iterdir()]
  expected = images.to_float(np.stack(targets)).mean((0, 1, 2))
  np.testing.assert_allclose(fitted['constant'](np.zeros((1, 2, 2, 3)))[0, 0, 0], expected, atol=1e-5)


def test_a_metric_that_gives_no_number_an_image_is_named(monkeypatch):
  monkeypatch.setitem(metrics.METRICS, 'mine', metrics.Metric(lambda images, targets: images.mean(), 'MINE', 2))
  jax.clear_caches()
  with pytest.raises(BadInput, match=r'metric mine: it gives \[\] of 16 images'):
    of_pairs(np.zeros((2, 16, 16, 3)), np.zeros((2, 16, 16, 3)))
