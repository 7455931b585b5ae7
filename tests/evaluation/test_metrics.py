"""Laws that scores obey, whichever tool computes them; what goes wrong with weights and protocols."""

import functools
import hashlib
import json
import re

import jax
import numpy as np
import pytest
from PIL import Image, ImageFilter
from safetensors.numpy import save_file
from scipy import linalg

from i2i_jax import data
from i2i_jax.data import images
from i2i_jax.errors import BadInput
from i2i_jax.evaluation import distances, evals, features, measure, metrics, protocols, resize, scoring
from i2i_jax.evaluation.features import texture
from i2i_jax.runtime import mesh
from tests import metric_cases as cases


def pictures(count=6, size=64, seed=0):
  """uint8 [count, size, size, 3] with detail at all scales."""
  rng = np.random.default_rng(seed)
  parts = [
    [images.resize(rng.integers(0, 256, (n, n, 3), np.uint8), (size, size)) for n in (4, 16, size)]
    for _ in range(count)
  ]
  return np.stack([np.mean(part, 0) for part in parts]).astype(np.uint8)


def of_sets(fake, real, names=('swd', 'energy_1', 'energy_2')):
  by = measure.make(names)
  return by.sets(by.features(images.to_float(fake)), by.features(images.to_float(real)))[0]


# ------------------------------------------------------------------------------------------------ distances of sets


@pytest.mark.parametrize(('n', 'm', 'd'), [(50, 70, 8), (9, 12, 40)])
def test_the_frechet_distance_is_its_formula(n, m, d):
  """By SciPy's matrix root, of covariances that a little ridge makes regular where images are few."""
  rng = np.random.default_rng(0)
  x, y = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)), rng.normal(size=(m, d)) + 0.3
  covariances = [np.cov(z.T) + 1e-9 * np.eye(d) for z in (x, y)]
  root = linalg.sqrtm(covariances[0] @ covariances[1])
  expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(sum(covariances) - 2 * root.real)
  assert distances.frechet(x, y) == pytest.approx(expected, rel=1e-4)
  assert distances.frechet(x, x + 3) == pytest.approx(9 * d)
  assert distances.frechet(x, x) == pytest.approx(0, abs=1e-9)


def test_the_kernel_distance_is_unbiased_and_knows_its_own_deviation():
  """Of two sets from one distribution it is zero on average; how it scatters is what the jackknife says."""
  rng = np.random.default_rng(0)
  found = [distances.kernel(rng.normal(size=(30, 12)), rng.normal(size=(40, 12))) for _ in range(300)]
  values, deviations = np.array(found).T
  assert abs(values.mean()) < 3 * values.std() / np.sqrt(300)
  found = [distances.kernel(rng.normal(size=(30, 12)) + 0.5, rng.normal(size=(40, 12))) for _ in range(300)]
  values, deviations = np.array(found).T
  assert np.sqrt(np.square(deviations).mean()) == pytest.approx(values.std(), rel=0.2)


def test_sets_that_cover_little_or_lie_apart_are_told():
  rng = np.random.default_rng(0)
  real, near = rng.normal(size=(200, 4)), rng.normal(size=(150, 4))
  copies = np.tile(near[:3], (50, 1))
  assert distances.precision(near, real) > 0.9 and distances.recall(near, real) > 0.9
  assert distances.coverage(near, real) > 0.9 and distances.density(near, real) == pytest.approx(1, abs=0.15)
  assert distances.coverage(copies, real) < 0.2 and distances.precision(copies, real) > 0.9  # it does not see them
  assert distances.precision(near + 20, real) == distances.coverage(near + 20, real) == 0


# ----------------------------------------------------------------------------------------------------------- texture


def test_energy_is_that_of_the_bands():
  """Twice the contrast has four times the energy; blur takes it from the finest band most; a constant has none."""
  real = pictures()
  half = (64 + real / 2).astype(np.uint8)
  assert of_sets(real, real) == {'swd': 0, 'energy_1': pytest.approx(1), 'energy_2': pytest.approx(1)}
  assert of_sets(half, real)['energy_1'] == pytest.approx(0.25, rel=0.02)
  blurred = np.stack([np.asarray(Image.fromarray(x).filter(ImageFilter.GaussianBlur(1))) for x in real])
  found = of_sets(blurred, real)
  assert found['energy_1'] < 0.2 < found['energy_2'] < 0.9
  assert of_sets(np.full_like(real, 100), real)['energy_1'] == pytest.approx(0, abs=1e-9)


def test_each_band_holds_waves_an_octave_longer():
  for band, wavelength in enumerate((3, 8, 16)):
    wave = 100 * np.sin(2 * np.pi * np.arange(96) / wavelength) + 128
    energies = np.asarray(texture.bands(None, np.broadcast_to(wave[None, :, None, None], (1, 96, 96, 1))))[0]
    assert energies.argmax() == band and energies[band] > 0.5 * energies.sum(), energies


@pytest.mark.parametrize('period', [2, 4])
def test_a_grid_is_a_line_in_the_spectrum(period):
  """Not seen in other waves, nor in noise or blur: those are no lines at the grid's frequencies."""
  real, rng = pictures(12), np.random.default_rng(0)
  rows, columns = np.mgrid[:64, :64]

  def found(pattern):
    return of_sets(np.clip(real + pattern, 0, 255).astype(np.uint8), real, ['grid'])['grid']

  assert found(3 * np.cos(2 * np.pi * (rows + columns) / period)[..., None]) > 3
  assert found(3 * np.cos(2 * np.pi * columns / period)[..., None]) > 3
  assert found(0) == pytest.approx(1)
  assert found(3 * np.cos(2 * np.pi * (rows + columns) / 6.4)[..., None]) < 1.3
  assert found(rng.normal(size=real.shape) * 10) < 1.6


def test_the_sliced_distance_of_a_shift_is_its_length():
  """Along a random direction a shift of all 147 values by s is a normal number times s: sqrt(2 / pi) s on average."""
  real = np.random.default_rng(0).normal(size=(200, 16, 16, 3)) * 40 + 128
  shifted, same = (texture.patches(None, x.astype(np.float32)) for x in (real + 20, real))
  assert same.shape == (200, 1, 128, 49, 3)  # of 16 px there is one level: the image
  found = texture.sliced_wasserstein(np.asarray(shifted), np.asarray(same))
  assert found == pytest.approx(1000 * 20 / 40 * np.sqrt(2 / np.pi), rel=0.06)
  assert texture.sliced_wasserstein(np.asarray(same), np.asarray(same)) == 0


def test_sets_of_other_sizes_are_compared_at_the_same_quantiles():
  rng = np.random.default_rng(0)
  a, b = np.sort(rng.normal(size=(3, 400))), np.sort(rng.normal(size=(3, 1000)))
  first, second = texture.alike(a, b)
  np.testing.assert_array_equal(first, a)
  expected = [np.quantile(row, (np.arange(400) + 0.5) / 400, method='hazen') for row in b]
  np.testing.assert_allclose(second, expected, atol=1e-6)


# ------------------------------------------------------------------------------------------------- measures, weights


def test_scores_do_not_depend_on_devices_or_batches():
  fake, real = images.to_float(pictures(5, 32)), images.to_float(pictures(5, 32, 1))
  names = ('psnr', 'ms_ssim', 'fd_lite0', 'swd')
  nets = features.load([of for name in names if (of := metrics.METRICS[name].of)])
  found = []
  for spec, batch in (('data=1', 2), ('data=8', 16)):
    by = measure.make(names, nets, shardings=mesh.make(spec), batch=batch)
    sets = by.sets(by.features(fake), by.features(real))[0]
    found.append({**{k: v.tolist() for k, v in by.pairs(fake, real).items()}, **sets})
  assert found[0].keys() == set(names)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4), *found)


def test_gray_images_reach_a_net_in_three_channels(monkeypatch):
  gray = images.to_float(pictures(3, 32))[..., :1]
  monkeypatch.setattr(features.module('lite0'), 'pool', lambda weights, x: x)
  look = features.function('lite0.pool', 'clean')
  found = look(None, gray)
  assert found.shape == (3, 224, 224, 3)
  np.testing.assert_array_equal(found, look(None, gray.repeat(3, -1)))


def test_outputs_are_rounded_as_in_a_file():
  x = np.linspace(-1.1, 1.1, 64, dtype=np.float32).reshape(1, 8, 8, 1)
  np.testing.assert_array_equal(resize.as_in_file(x), images.to_uint8(x))


def test_pytorch_fids_inputs_are_its_own():
  """It scales [0, 255] to [-1, 1]; the net here takes (x - 128) / 128 of what comes."""
  x = pictures(1).astype(np.float32)
  theirs = resize.resize(x, (80, 80), 'legacy_pytorch') / 127.5 - 1
  np.testing.assert_allclose((resize.resize(x, (80, 80), 'pytorch_fid') - 128) / 128, theirs, atol=1e-6)


def test_weights_that_are_missing_or_of_another_net_are_named(tmp_path):
  with pytest.raises(BadInput, match=r'none of the files has Conv2d_1a_3x3.*give pt_inception-2015-12-05'):
    features.load(['inception.pool'])
  file = features.module('lite0').default_file()
  with pytest.raises(BadInput, match=r'none of the files has Conv2d_1a_3x3'):
    features.load(['inception.pool'], [file])
  with pytest.raises(BadInput, match=r'lite0.*\.pth is of no net of this protocol: it holds _conv_stem'):
    features.load(['texture.bands'], [file])
  with pytest.raises(BadInput, match='there is no file'):
    features.load(['lite0.pool'], [tmp_path / 'x.pth'])
  assert features.load(['lite0.pool', 'texture.bands'])['lite0'].files == {
    file.name: '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db'
  }


def test_lpips_takes_a_net_and_its_channels_weights_from_two_files(tmp_path):
  shapes = {f'features.{i}': shape for i, shape in cases.CONVOLUTIONS['alex'].items()}
  shapes = {f'{k}.weight': s for k, s in shapes.items()} | {f'{k}.bias': s[:1] for k, s in shapes.items()}
  with np.load(cases.GOLDENS) as goldens:
    heads = {k.rpartition('/')[2]: goldens[k] for k in goldens.files if k.startswith('heads/alex/')}
  net, channels = tmp_path / 'alexnet.safetensors', tmp_path / 'alex.safetensors'
  save_file(cases.weights('alex', shapes), net)
  save_file(heads, channels)
  found = features.load(['alex.stages'], [channels, net])['alex']
  assert set(found.files) == {net.name, channels.name}
  assert measure.make(['lpips_alex'], {'alex': found}).pairs(np.zeros((1, 64, 64, 3)), np.ones((1, 64, 64, 3)))
  with pytest.raises(BadInput, match=r'none of the files has lin0\.model\.1\.weight, a part of alex'):
    features.load(['alex.stages'], [net])
  with pytest.raises(BadInput, match=r'is of another net than vgg16: give torchvision'):
    features.load(['vgg16.stages'], [net, channels])


# ----------------------------------------------------------------------------------------------------- protocols


def test_each_protocol_says_what_it_is_and_names_metrics_that_there_are():
  published = {'cut', 'mmagic', 'uvcgan2', 'turbo', 'i2sb', 'ugatit', 'lpips_alex', 'lpips_vgg'}
  assert {'pixel', 'lite0'} | published == set(protocols.NAMES)
  scored = {name for rules in map(protocols.get, protocols.NAMES) for name in rules.metrics}
  assert {'fid', 'kid', 'lpips_alex', 'lpips_vgg', 'fd_lite0', 'kd_lite0', 'lpips_lite0'} <= scored
  for name in protocols.NAMES:
    rules = protocols.get(name)
    assert set(rules.metrics) <= set(metrics.METRICS) and rules.filter in resize.FILTERS
    assert rules.sampling in scoring.SAMPLING and len(protocols.about(name)) < 130
  with pytest.raises(BadInput, match=r'--protocol.*cut'):
    protocols.get('cutt')


def test_what_is_scored_while_training_is_a_field(tiny):
  with tiny.unlocked():
    tiny.evals = 'psnr, kd_lite0:6, psnr:6'
  assert evals.names(tiny, True) == {3: ('psnr',), 6: ('kd_lite0',)}
  assert evals.names(tiny, False) == {6: ('kd_lite0',)}  # PSNR needs partners
  for text, message in (
    ('psnr:4', r'psnr:4: its steps must be a multiple of config\.eval_every = 3'),
    ('psn', 'psnr'),
    ('psnr:x', 'must be a multiple'),
  ):
    tiny.evals = text
    with pytest.raises(BadInput, match=message):
      evals.names(tiny, True)
  tiny.evals = 'cut'
  with pytest.raises(BadInput, match='give pt_inception'):
    evals.read(tiny, True)


def test_another_protocol_has_its_own_file_and_its_nets_checksum(run):
  pixel = scoring.evaluate(run)
  result = scoring.evaluate(run, protocol='lite0', rivals=False)
  assert json.loads((run / 'eval_test_lite0.json').read_text()) == result
  assert json.loads((run / 'eval_test.json').read_text()) == pixel
  ours = result['scores']['pix2pix']
  assert {name: ours[name] for name in pixel['scores']['pix2pix']} == pytest.approx(pixel['scores']['pix2pix'])
  assert {'fd_lite0', 'kd_lite0', 'lpips_lite0', 'coverage_lite0'} <= ours.keys()
  assert result['protocol'] == 'lite0' and result['filter'] == 'clean' and result['seed'] == 0
  assert result['deviations']['pix2pix']['kd_lite0'] > 0
  text = scoring.table(result)
  assert re.search(r'\d ± 0\.\d{5}', text) and 'sha256 5793' in text and 'protocol lite0' in text


def test_what_differs_from_a_protocol_is_said(tiny, capsys):
  scoring.check_rules('cut', tiny, (4, 4))
  assert capsys.readouterr().out == 'protocol cut: its images are of 256 px, these of 16 x 24\n'
  with tiny.unlocked():
    tiny.data.update({'crop_size': (256, 256), 'name': 'cycle_gan', 'task': 'horse2zebra'})
  scoring.check_rules('cut', tiny, (140, 120))
  assert capsys.readouterr().out == ''
  scoring.check_rules('cut', tiny, (140, 100))
  assert 'horse2zebra has 120 and 140 images there, here 140 and 100' in capsys.readouterr().out


def test_scores_of_other_weights_do_not_count_as_stored(tmp_path):
  ours, other = tmp_path / 'ours.pth', tmp_path / 'other.pth'
  ours.write_bytes(b'ours')
  other.write_bytes(b'other')
  scored = {'step': 6, 'chosen': 'newest', 'scores': {'pix2pix': {'fid': 1.0}}, 'per_image': {'pix2pix': {}}}
  scored |= {'protocol': 'cut', 'split': 'test', 'direction': 'ab', 'images': 4}
  scored['nets'] = {'inception': {'renamed.pth': hashlib.sha256(b'ours').hexdigest()}}
  out = tmp_path / 'eval_test_cut.json'
  out.write_text(json.dumps(scored))
  held = functools.partial(scoring.stored, out, 6, 'newest', ['fid'], ['pix2pix'])
  assert held([]) == held([ours]) == scored
  assert held([other]) is None and held([tmp_path / 'none.pth']) is None


@pytest.mark.slow
def test_fid_takes_a_file_of_weights(run, tmp_path, command):
  """Random ones here: the command reads them, names them with their checksum, and says that FID is biased."""
  with np.load(cases.GOLDENS) as goldens:
    sizes = [tuple(n for n in shape if n) for shape in goldens['inception/shapes'].tolist()]
    names = goldens['inception/names'].tolist()
  file = tmp_path / 'inception.safetensors'
  save_file(cases.weights('inception', dict(zip(names, sizes, strict=True))), file)
  missing = command('i2i_jax.evaluate', f'--workdir={run}', '--protocol=cut')
  assert missing.returncode == 2 and 'give pt_inception-2015-12-05' in missing.stderr
  done = command('i2i_jax.evaluate', f'--workdir={run}', '--protocol=cut', f'--weights={file}')
  assert done.returncode == 0, done.stderr
  sha = hashlib.sha256(file.read_bytes()).hexdigest()
  assert f'inception: inception.safetensors, sha256 {sha}' in done.stdout
  assert 'FID of 4 images is biased' in done.stdout
  result = json.loads((run / 'eval_test_cut.json').read_text())
  assert set(result['scores']['linear']) == {'fid', 'kid'} and result['filter'] == 'pytorch_fid'


@pytest.mark.slow
def test_last_weights_average_and_best_are_rows_of_their_own(tiny, tmp_path):
  from i2i_jax import train
  from i2i_jax.evaluation import chosen

  with tiny.unlocked():
    tiny.ema = 0.9
  train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  others = chosen.others(tmp_path / 'run', None, 'test')
  assert others['last weights'] == (6, 'last') and others['best val/psnr'][1] == 'ema'
  result = scoring.evaluate(tmp_path / 'run', others=others, rivals=False)
  scores = result['scores']
  assert set(scores) == {'pix2pix', 'last weights', 'best val/psnr'}
  assert scores['last weights']['psnr'] != scores['pix2pix']['psnr']
  best, _ = others['best val/psnr']
  again = scoring.evaluate(tmp_path / 'run', step=best, rivals=False)
  assert again['scores']['pix2pix'] == pytest.approx(scores['best val/psnr'])
  assert chosen.best_step(tmp_path / 'run', 'l1') in (3, 6)


def test_sets_without_partners_are_compared_as_sets(tiny, tmp_path):
  """Each image counts once, though there are more of one side."""
  rng, root = np.random.default_rng(0), tmp_path / 'photos'
  for folder, count in (('testA', 18), ('testB', 21)):
    (root / folder).mkdir(parents=True)
    for i in range(count):
      images.write_png(root / folder / f'{folder}{i:02}.png', rng.integers(0, 256, (20, 30, 3), np.uint8))
  with tiny.unlocked():
    tiny.data.update({'name': 'folders', 'path': str(root), 'paired': False})
  source, names = data.get(tiny, 'test'), ('swd', 'energy_1', 'energy_2')
  files = [sorted((root / folder).iterdir()) for folder in ('testA', 'testB')]
  sides = [np.stack([images.fit(images.read(file), (16, 24), 'stretch') for file in side]) for side in files]
  for direction, expected in (('ab', of_sets(*sides)), ('ba', of_sets(*sides[::-1]))):
    batches = scoring.turned(scoring.batches_of(source, tiny), direction)
    found = scoring.score({'copy': lambda a, first: a}, batches, measure.make(names), paired=False)['copy']
    assert found.per_set == pytest.approx(expected, rel=1e-4) and found.per_image == {}
    assert scoring.counts_of(source, direction) == {'ab': (18, 21), 'ba': (21, 18)}[direction]


def test_a_metric_that_does_not_see_so_many_channels_is_refused(tiny):
  with tiny.unlocked():
    tiny.data.update({'channels_a': 5, 'channels_b': 1, 'labels': ((0, 0, 0), (255, 255, 255))})
  scoring.nets_of(['kd_lite0'], tiny)  # gray is repeated
  with pytest.raises(BadInput, match=r'KD-Lite0 sees gray and RGB, and config\.data\.channels_a = 5'):
    scoring.nets_of(['kd_lite0'], tiny, targets='ab')
  with pytest.raises(BadInput, match=r'config\.data\.labels: a colour is a number for each of the 1 channels of b'):
    scoring.nets_of(['accuracy'], tiny)


def test_label_images_are_scored_by_class(tiny, tmp_path):
  with tiny.unlocked():
    tiny.data.labels = ((0, 0, 0), (255, 255, 255), (255, 0, 0))
  names = scoring.names_of(protocols.get('pixel'), tiny, True)
  assert {'accuracy', 'mean_iou'} <= set(names)
  by = measure.make(['accuracy', 'mean_iou'], scoring.nets_of(['accuracy', 'mean_iou'], tiny))
  real = np.full((1, 4, 4, 3), -1.0, np.float32)
  real[:, :2] = 1
  fake = real.copy()
  fake[0, 0] = -0.5  # nearer to black
  assert by.pairs(fake, real)['accuracy'] == pytest.approx(0.75)
  assert by.sets(by.features(fake), by.features(real))[0]['mean_iou'] == pytest.approx((4 / 8 + 8 / 12) / 2)
