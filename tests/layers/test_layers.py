"""The layers against definitions written out in NumPy, loop by loop."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2i_jax import methods
from i2i_jax.layers.conv import Conv, Upsample, pad, transposed_convolve
from i2i_jax.layers.norm import Norm


def conv_by_definition(x, kernel, stride):
  """y[i] = sum_k x[s i + k] w[k], no padding."""
  k = kernel.shape[0]
  rows, cols = ((n - k) // stride + 1 for n in x.shape[1:3])
  y = np.zeros((x.shape[0], rows, cols, kernel.shape[-1]))
  for i in range(rows):
    for j in range(cols):
      patch = x[:, i * stride : i * stride + k, j * stride : j * stride + k]
      y[:, i, j] = np.tensordot(patch, kernel, 3)
  return y


def transposed_by_definition(x, kernel, stride, padding, output_padding):
  """y[s i + k - p] += x[i] w[k]."""
  size = kernel.shape[0]
  height, width = ((n - 1) * stride + size + output_padding for n in x.shape[1:3])
  y = np.zeros((x.shape[0], height, width, kernel.shape[-1]))
  for i in range(x.shape[1]):
    for j in range(x.shape[2]):
      piece = np.einsum('bi,hwio->bhwo', x[:, i, j], kernel)
      y[:, i * stride : i * stride + size, j * stride : j * stride + size] += piece
  return y[:, padding : height - padding, padding : width - padding]


@pytest.mark.parametrize('mode', ['zero', 'reflect', 'replicate'])
@pytest.mark.parametrize(('kernel', 'stride', 'padding'), [(4, 2, 1), (3, 2, 1), (7, 1, 3), (1, 1, 0), (4, 1, 1)])
def test_convolution_is_pytorchs(kernel, stride, padding, mode):
  rng = np.random.default_rng(kernel)
  x = rng.normal(size=(2, 8, 11, 3))
  layer = Conv(5, kernel, stride, padding, mode)
  variables = layer.init(jax.random.key(0), x)
  numpy_mode = {'zero': 'constant', 'reflect': 'reflect', 'replicate': 'edge'}[mode]
  padded = np.pad(x, ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0)), numpy_mode)
  expected = conv_by_definition(padded, np.asarray(variables['params']['kernel']), stride)
  np.testing.assert_allclose(layer.apply(variables, x), expected, atol=1e-5)


KERNELS = [(4, 2, 1, 0), (3, 2, 1, 1), (3, 2, 1, 0), (2, 2, 0, 0), (5, 3, 2, 1), (3, 1, 1, 0), (7, 2, 3, 1)]


@pytest.mark.parametrize(
  ('shape', 'kernel', 'stride', 'padding', 'output_padding'),
  [
    (shape, *kernel)
    for shape, kernel in itertools.product([(2, 5, 4), (1, 1, 1), (1, 7, 1)], KERNELS)
    # PyTorch refuses what has no output.
    if (min(shape[1:]) - 1) * kernel[1] - 2 * kernel[2] + kernel[0] + kernel[3] >= 1
  ],
)
def test_transposed_convolution_is_pytorchs(shape, kernel, stride, padding, output_padding):
  rng = np.random.default_rng(0)
  x, w = rng.normal(size=(*shape, 3)), rng.normal(size=(kernel, kernel, 3, 2))
  expected = transposed_by_definition(x, w, stride, padding, output_padding)
  y = transposed_convolve(jnp.float32(x), jnp.float32(w).swapaxes(2, 3), stride, padding, output_padding)
  assert y.shape == expected.shape
  np.testing.assert_allclose(y, expected, atol=1e-4)


def test_reflection_does_not_repeat_the_edge():
  x = jnp.arange(3.0).reshape(1, 1, 3, 1).repeat(3, axis=1)
  assert pad(x, 2, 'reflect')[0, 2, :, 0].tolist() == [2, 1, 0, 1, 2, 1, 0]


@pytest.mark.parametrize('kind', ['batch', 'instance'])
def test_norm_is_pytorchs(kind):
  x = np.random.default_rng(0).normal(3, 2, size=(3, 4, 5, 2))
  axes = (0, 1, 2) if kind == 'batch' else (1, 2)
  norm = Norm(kind)
  variables = norm.init(jax.random.key(1), x)
  y, changed = norm.apply(variables, x, mutable=['batch_stats'])
  expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
  if kind == 'batch':
    params = variables['params']
    expected = expected * np.asarray(params['scale']) + np.asarray(params['bias'])
    # The running variance is the unbiased one, unlike the variance that normalises.
    np.testing.assert_allclose(changed['batch_stats']['mean'], 0.1 * x.mean(axes), rtol=1e-5)
    np.testing.assert_allclose(changed['batch_stats']['var'], 0.9 + 0.1 * x.var(axes, ddof=1), rtol=1e-5)
  else:
    assert 'params' not in variables  # no affine
  np.testing.assert_allclose(y, expected, atol=1e-5)


def test_running_statistics_are_used_when_asked_for():
  x = jnp.ones((1, 2, 2, 1)) * 5
  variables = Norm('batch').init(jax.random.key(0), x)
  variables['batch_stats'] = {'mean': jnp.array([4.0]), 'var': jnp.array([4.0])}
  y = Norm('batch', running_stats=True).apply(variables, x)
  scale = variables['params']['scale'][0]
  np.testing.assert_allclose(y, jnp.full_like(x, 0.5 * scale), rtol=1e-4)


@pytest.mark.parametrize('kind', ['transpose', 'nearest', 'bilinear'])
def test_upsampling_doubles_and_interpolation_has_no_checkerboards(kind):
  layer, x = Upsample(1, kind), jnp.ones((1, 6, 6, 1))
  y = layer.apply(layer.init(jax.random.key(0), x), x)
  assert y.shape == (1, 12, 12, 1)
  inner = np.asarray(y)[0, 3:-3, 3:-3, 0]
  assert (np.ptp(inner) < 1e-6) == (kind != 'transpose')


def test_weights_start_from_a_normal_distribution_of_deviation_0_02():
  kernel = Conv(64, 4).init(jax.random.key(0), jnp.zeros((1, 8, 8, 32)))['params']['kernel']
  assert abs(float(kernel.std()) - 0.02) < 5e-4
  scale = Norm('batch').init(jax.random.key(0), jnp.zeros((1, 2, 2, 10_000)))['params']['scale']
  assert abs(float(scale.mean()) - 1) < 1e-3
  assert abs(float(scale.std()) - 0.02) < 1e-3


def test_spectral_norm_is_pytorchs():
  """torch.nn.utils.spectral_norm: a power iteration each training forward, none when frozen; sigma = u W v."""
  rng = np.random.default_rng(0)
  x = jnp.float32(rng.normal(size=(2, 5, 5, 3)))
  layer, frozen = Conv(4, 3, spectral=True), Conv(4, 3, spectral=True, running_stats=True)
  variables = layer.init(jax.random.key(0), x)
  u = np.asarray(variables['batch_stats']['u'], np.float64)
  assert np.linalg.norm(u) == pytest.approx(1, abs=1e-6)
  kernel = np.asarray(variables['params']['kernel'], np.float64)
  matrix = kernel.transpose(3, 2, 0, 1).reshape(4, -1)  # PyTorch's (out, in x k x k)
  for _ in range(3):
    y, changed = layer.apply(variables, x, mutable=['batch_stats'])
    variables = {**variables, **changed}
    v = matrix.T @ u / np.linalg.norm(matrix.T @ u)
    u = matrix @ v / np.linalg.norm(matrix @ v)
    np.testing.assert_allclose(variables['batch_stats']['u'], u, atol=1e-6)
    np.testing.assert_allclose(y, conv_by_definition(x, kernel / (u @ matrix @ v), 1), atol=1e-5)
  _, unchanged = frozen.apply(variables, x, mutable=['batch_stats'])
  np.testing.assert_array_equal(unchanged['batch_stats']['u'], variables['batch_stats']['u'])
  for _ in range(100):
    variables = {**variables, **layer.apply(variables, x, mutable=['batch_stats'])[1]}
  sigma = np.linalg.svd(matrix)[1][0]
  np.testing.assert_allclose(frozen.apply(variables, x), conv_by_definition(x, kernel / sigma, 1), atol=1e-5)
  # The gradient knows of the division by sigma = u W v, and takes u and v for constants.
  u, _, v = (m[:, 0] if i == 0 else m[0] for i, m in enumerate(np.linalg.svd(matrix)))
  params = variables['params']
  grad = jax.grad(lambda p: jnp.square(frozen.apply({**variables, 'params': p}, x)).sum())(params)['kernel']
  normalised = {**params, 'kernel': jnp.float32(kernel / sigma)}
  plain = jax.grad(lambda p: jnp.square(Conv(4, 3).apply({'params': p}, x)).sum())(normalised)['kernel']
  outer = np.outer(u, v).reshape(4, 3, 3, 3).transpose(2, 3, 1, 0)
  expected = (plain - np.sum(plain * kernel) / sigma * outer) / sigma
  np.testing.assert_allclose(grad, expected, rtol=1e-3, atol=1e-2)


def test_a_discriminator_with_spectral_norm_trains_and_keeps_its_vectors(tiny):
  tiny.disc.spectral_norm = True
  method = methods.get(tiny)
  batch = {k: np.random.default_rng(0).normal(size=(8, 16, 24, 3)).astype(np.float32) for k in ('a', 'b')}
  state = jax.jit(method.init)(jax.random.key(0), batch)
  stepped, metrics = jax.jit(method.train_step)(state, batch, jax.random.key(1))
  old, new = (s.extra['batch_stats']['disc'] for s in (state, stepped))
  assert [k for k in old if 'u' in old[k]] == ['conv0', 'conv1', 'logits']
  assert all(np.abs(old[k]['u'] - new[k]['u']).max() > 1e-4 for k in ('conv0', 'conv1'))
  assert np.isfinite(list(metrics.values())).all()
