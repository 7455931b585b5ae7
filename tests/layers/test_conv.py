"""Convolutions: the forms for a CPU against XLA's own and against their definition, at three orders of derivative."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from i2i_jax.layers import conv_forms as conv
from i2i_jax.layers import winograd
from tests.small import small, trained


def by_definition(x, kernel, stride, padding):
  """A sum over the kernel's taps; XLA's own second derivatives end the process for some strided shapes."""
  height, width = kernel.shape[:2]
  x = jnp.pad(x, ((0, 0), *((max(before, 0), max(after, 0)) for before, after in padding), (0, 0)))
  crop = [
    slice(max(-before, 0), n - max(-after, 0)) for (before, after), n in zip(padding, x.shape[1:3], strict=True)
  ]
  x = x[:, crop[0], crop[1]]
  rows, cols = ((n - k) // stride + 1 for n, k in zip(x.shape[1:3], (height, width), strict=True))

  def seen(i, j):
    return x[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (cols - 1) + 1 : stride]

  taps = itertools.product(range(height), range(width))
  return sum(jnp.einsum('bhwi,io->bhwo', seen(i, j), kernel[i, j]) for i, j in taps)


def first(f):
  """Value and gradients of a function of two arrays, by a fixed cotangent."""

  def of(x, kernel, cotangent):
    y, pull = jax.vjp(f, x, kernel)
    return y, pull(cotangent)

  return of


def second(f):
  """The gradient of what depends on both gradients, as a gradient penalty does."""

  def penalty(x, kernel, cotangent):
    grads = jax.vjp(lambda *args: jnp.tanh(f(*args)), x, kernel)[1](cotangent)
    return sum(jnp.sum(jnp.sin(g)) for g in grads)

  return jax.grad(penalty, (0, 1, 2))


def random_case(seed):
  """Odd sizes, one pixel, one channel, kernels larger than the image, uneven and negative padding."""
  rng = np.random.default_rng(seed)
  while True:
    size, kernel = rng.integers(1, 14, 2), rng.integers(1, 6, 2)
    stride = int(rng.integers(1, 4))
    padding = tuple(tuple(map(int, pair)) for pair in rng.integers(-1, 4, (2, 2)))
    if all(n + sum(pad) >= k for n, pad, k in zip(size, padding, kernel, strict=True)):
      break
  channels = rng.choice([1, 3, 8], 2)
  x = rng.normal(size=(rng.integers(1, 3), *size, channels[0]))
  kernel = rng.normal(size=(*kernel, *channels))
  with jax.enable_x64(True):
    shape = jax.eval_shape(functools.partial(by_definition, stride=stride, padding=padding), x, kernel).shape
  return x, kernel, rng.normal(size=shape), stride, padding


@pytest.mark.parametrize('small', [0, 256])
# The last shapes are large, and take a minute each to compile.
@pytest.mark.parametrize('seed', [*range(6), *(pytest.param(i, marks=pytest.mark.slow) for i in range(6, 12))])
def test_every_form_is_the_convolution_to_its_second_derivatives(seed, small, monkeypatch):
  """`small` sends maps of these sizes through the forms for large maps, or for small ones."""
  monkeypatch.setattr(conv, 'SMALL', small)
  monkeypatch.setattr(conv, 'MANY', 8)
  x, kernel, cotangent, stride, padding = random_case(seed)
  fast = functools.partial(conv.convolve, stride=stride, padding=padding)
  slow = functools.partial(by_definition, stride=stride, padding=padding)
  with jax.enable_x64(True):
    for order in (first, second):
      ours, expected = (jax.jit(order(f))(x, kernel, cotangent) for f in (fast, slow))
      jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-9, rtol=1e-9), ours, expected)
    # XLA's own, in value and, where it has no stride, in first derivatives.
    own = functools.partial(conv.lax_convolve, stride=stride, padding=padding)
    np.testing.assert_allclose(fast(x, kernel), own(x, kernel), atol=1e-9)
    if stride == 1:
      ours, expected = (jax.jit(first(f))(x, kernel, cotangent) for f in (fast, own))
      jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-9), ours, expected)


# Shapes that reach each form: what the nets have, small.
FORMS = {
  'winograd k3': ((1, 21, 20, 96), (3, 3, 96, 96), 1, 1),
  'winograd k4': ((2, 18, 17, 96), (4, 4, 96, 100), 1, 1),
  'few outputs': ((1, 20, 23, 16), (7, 7, 16, 3), 1, 0),
  'one output': ((1, 19, 18, 32), (4, 4, 32, 1), 1, 1),
  'phases k4': ((1, 36, 34, 16), (4, 4, 16, 24), 2, 1),
  'phases k3': ((1, 35, 36, 16), (3, 3, 16, 24), 2, 1),
  'few inputs, stride': ((1, 36, 36, 3), (4, 4, 3, 16), 2, 1),
  'small maps': ((2, 8, 8, 16), (4, 4, 16, 24), 2, 1),
}


@pytest.mark.parametrize('form', FORMS)
def test_float32_is_near_float64(form):
  shape, kernel_shape, stride, padding = FORMS[form]
  rng = np.random.default_rng(0)
  x, kernel = rng.normal(size=shape), rng.normal(size=kernel_shape)
  fast = functools.partial(conv.convolve, stride=stride, padding=((padding, padding),) * 2)
  slow = functools.partial(conv.lax_convolve, stride=stride, padding=((padding, padding),) * 2)
  with jax.enable_x64(True):
    cotangent = rng.normal(size=jax.eval_shape(slow, x, kernel).shape)
    expected = jax.device_get(jax.jit(first(slow))(x, kernel, cotangent))
  ours = jax.jit(first(fast))(*(jnp.float32(v) for v in (x, kernel, cotangent)))

  def near(a, b):
    assert np.sqrt(np.square(a - b).mean()) < 5e-6 * np.std(b)

  jax.tree.map(near, ours, expected)


@pytest.mark.parametrize('form', FORMS)
def test_under_vmap_over_devices_and_in_bfloat16(form):
  shape, kernel_shape, stride, padding = FORMS[form]
  rng = np.random.default_rng(0)
  x, kernel = jnp.float32(rng.normal(size=(8, *shape[1:]))), jnp.float32(rng.normal(size=kernel_shape))
  loss = lambda x, kernel: jnp.sum(jnp.sin(conv.convolve(x, kernel, stride, ((padding, padding),) * 2)))  # noqa: E731
  grads = jax.jit(jax.grad(loss, (0, 1)))(x, kernel)
  scale = np.abs(grads[1]).max()

  one_by_one = lambda x, k: jax.vmap(lambda x: loss(x[None], k))(x).sum()  # noqa: E731
  mapped = jax.jit(jax.grad(one_by_one, (0, 1)))(x, kernel)
  np.testing.assert_allclose(mapped[0], grads[0], atol=1e-3)
  np.testing.assert_allclose(mapped[1] / scale, grads[1] / scale, atol=1e-4)

  mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
  split = jax.device_put(x, NamedSharding(mesh, PartitionSpec('data')))
  sharded = jax.jit(jax.grad(loss, (0, 1)))(split, jax.device_put(kernel, NamedSharding(mesh, PartitionSpec())))
  np.testing.assert_allclose(sharded[1] / scale, grads[1] / scale, atol=1e-4)

  narrow = conv.convolve(x.astype('bfloat16'), kernel.astype('bfloat16'), stride, ((padding, padding),) * 2)
  wide = conv.convolve(x, kernel, stride, ((padding, padding),) * 2)
  assert narrow.dtype == jnp.bfloat16
  assert np.std(narrow.astype('float32') - wide) < 0.01 * np.std(wide)


@pytest.mark.parametrize('kernel', winograd.KERNELS)
def test_winograds_matrices_are_a_convolution(kernel):
  """The tile of a separable image with a separable kernel is the product of two correlations."""
  rng = np.random.default_rng(0)
  d, g = rng.normal(size=winograd.TILE), rng.normal(size=kernel)
  of_kernel, of_output, of_input = winograd.transforms(kernel)
  image, taps = np.outer(d, d), np.outer(g, g)
  y = of_output.T @ ((of_kernel @ taps.ravel()) * (of_input @ image.ravel()))
  expected = np.outer(*[np.correlate(d, g, 'valid')] * 2)
  np.testing.assert_allclose(y.reshape(expected.shape), expected, atol=1e-12)


def test_plain_is_xlas_own():
  x, kernel = jnp.ones((1, 32, 32, 96)), jnp.ones((3, 3, 96, 96))
  lowered = jax.jit(lambda x, k: conv.convolve(x, k)).lower(x, kernel).as_text()
  assert 'stablehlo.convolution' not in lowered
  with conv.plain():
    assert 'stablehlo.convolution' in jax.jit(lambda x, k: conv.convolve(x, k)).lower(x, kernel).as_text()


@pytest.mark.parametrize('method', ['pix2pix', pytest.param('cyclegan', marks=pytest.mark.slow)])
def test_ten_steps_with_and_without_the_faster_forms_are_the_same(method, monkeypatch, double_precision):
  """Convolutions, norms' means and batched passes, in float64: every loss to 1e-9."""
  monkeypatch.setattr(conv, 'SMALL', 16)
  monkeypatch.setattr(conv, 'MANY', 8)
  config = small(method, precision='float64', **({'gen.dropout': 0.0} if method == 'cyclegan' else {}))
  _, fast = trained(config, 10)
  with conv.plain():
    _, plain = trained(config, 10)
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9), fast, plain)
