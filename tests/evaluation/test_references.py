"""Scores against the field's tools: torchmetrics, TensorFlow, torch-fidelity, clean-fid, lpips, prdc, scikit-learn.

The goldens are theirs (tests/make_metric_goldens.py), from the same images, features and random weights. Tolerances
are what docs/metrics.md claims; `pytest -s` prints the differences that its table has.
"""

import jax
import numpy as np
import pytest

from i2i_jax.data import images
from i2i_jax.evaluation import distances, features, measure, metrics, resize
from i2i_jax.evaluation.features import alex, inception, labels, lite0, vgg16
from tests import metric_cases as cases


@pytest.fixture(scope='module')
def goldens():
  with np.load(cases.GOLDENS) as file:
    return {key: file[key] for key in file.files}


def near(what, found, expected, *, relative=0.0, absolute=0.0):
  """The largest difference, by the largest expected value where it is `relative`, is within that."""
  difference = np.abs(np.asarray(found, np.float64) - expected).max()
  difference /= np.abs(expected).max() if relative else 1
  print(f'| {what} | {difference:.1e} {"relative" if relative else "absolute"} |')
  assert difference <= (relative or absolute), what


def scores(case, name, weights=None):
  fake, real = (images.to_float(x) for x in cases.pairs(case))
  return measure.make([name], weights).pairs(fake, real)[name]


@pytest.mark.parametrize(
  ('tool', 'case'), [('tensorflow', 'small'), ('tensorflow', 'large'), ('torchmetrics', 'large')]
)
def test_ms_ssim_is_theirs(tool, case, goldens):
  """Not torchmetrics' of a small image, whose last scale counts windows that reach beyond it."""
  near(f'MS-SSIM, {case} | {tool}', scores(case, 'ms_ssim'), goldens[f'{tool}/ms_ssim/{case}'], absolute=1e-4)


@pytest.mark.parametrize('case', cases.SETS)
def test_distances_of_sets_are_torch_fidelitys_and_prdcs(case, goldens):
  fake, real = cases.features(case)
  near(f'FID, {case} | torch-fidelity', distances.frechet(fake, real), goldens[f'fid/{case}'], relative=1e-3)
  size = min(len(fake), len(real))
  found, _ = distances.kernel(fake[:size], real[:size])
  near(f'KID, {case} | torch-fidelity', found, goldens[f'kid/{case}'], relative=1e-4)
  for name in ('precision', 'recall', 'density', 'coverage'):
    near(f'{name}, {case} | prdc', getattr(distances, name)(fake, real), goldens[f'{name}/{case}'], relative=1e-4)


@pytest.mark.parametrize(('net', 'module'), [('alex', alex), ('vgg', vgg16)])
def test_lpips_is_its_authors(net, module, goldens):
  shapes = {f'features.{i}': shape for i, shape in cases.CONVOLUTIONS[net].items()}
  shapes = {f'{k}.weight': s for k, s in shapes.items()} | {f'{k}.bias': s[:1] for k, s in shapes.items()}
  arrays = cases.weights('alex' if net == 'alex' else 'vgg16', shapes)
  arrays |= {k.rpartition('/')[2]: x for k, x in goldens.items() if k.startswith(f'heads/{net}/')}
  weights = {module.__name__.rpartition('.')[2]: features.Weights(module.load(arrays), {})}
  found = scores('small', f'lpips_{net}', weights)
  near(f'LPIPS, {net} | lpips', found, goldens[f'lpips/{net}'], relative=1e-4)


def test_lite0_is_the_packages_net(goldens):
  """In PyTorch, by the package efficientnet-lite-pytorch; both take images of 224 px, by the nearest pixel."""
  weights = features.load(['lite0.pool'])['lite0'].arrays

  def enlarged(x):
    rows, columns = ((np.arange(224) * n) // 224 for n in x.shape[1:3])
    return x[:, rows][:, :, columns].astype(np.float32)

  fake, real = map(enlarged, cases.pairs('small'))
  near(
    'Lite0 features | efficientnet-lite-pytorch',
    jax.jit(lite0.pool)(weights, fake),
    goldens['lite0/pool'],
    relative=1e-4,
  )
  fake, real = (jax.jit(lite0.stages)(weights, x) for x in (fake, real))
  near('LPIPS-Lite0 | the same, LPIPS by hand', metrics.lpips(fake, real), goldens['lite0/lpips'], relative=1e-4)


def test_inception_is_torch_fidelitys(goldens):
  layers = inception.load(cases.weights('inception', inception_shapes(goldens)))
  fake, _ = cases.pairs('large')
  look = features.function('inception.pool', 'legacy_tensorflow')
  found = jax.jit(look)(layers, images.to_float(fake))
  near('Inception features | torch-fidelity', found, goldens['inception/2048'], relative=1e-4)


@pytest.mark.slow
def test_the_fid_of_500_images_is_torch_fidelitys(goldens):
  """From images to the number: filter, net, statistics; of the same random weights."""
  weights = {'inception': features.Weights(inception.load(cases.weights('inception', inception_shapes(goldens))), {})}
  by = measure.make(['fid'], weights, 'legacy_tensorflow')
  fake, real = (by.features(images.to_float(x)) for x in cases.earth())
  found = by.sets(fake, real)[0]['fid']
  near('FID of 500 tiles, from images | torch-fidelity', found, goldens['inception/fid_500'], relative=1e-3)


def inception_shapes(goldens):
  sizes = [tuple(n for n in shape if n) for shape in goldens['inception/shapes'].tolist()]
  return dict(zip(goldens['inception/names'].tolist(), sizes, strict=True))


@pytest.mark.parametrize('case', cases.FILTERS)
@pytest.mark.parametrize('name', ['clean', 'legacy_pytorch', 'legacy_tensorflow'])
def test_filters_are_those_of_the_tools(name, case, goldens):
  found = resize.resize(cases.picture(case)[None].astype(np.float32), (299, 299), name)[0, ::7, ::7]
  near(f'filter {name}, {case}, of 255 | clean-fid, torch-fidelity', found, goldens[f'{name}/{case}'], absolute=2e-4)


def test_label_scores_are_scikit_learns(goldens):
  colours, fake, real = cases.labels()
  fake, real = (labels.classes(colours, x.astype(np.float32)) for x in (fake, real))
  assert labels.accuracy(fake, real).mean() == pytest.approx(goldens['accuracy'])
  assert labels.mean_iou(np.asarray(fake), np.asarray(real)) == pytest.approx(goldens['mean_iou'])
