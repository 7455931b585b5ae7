"""Attention: blocks against definitions written out in NumPy, their text in a config, and their places in nets."""

import functools
import math

import jax
import numpy as np
import pytest

from i2i_jax import methods, models
from i2i_jax.describe import parameter_count
from i2i_jax.config import BadInput
from i2i_jax.models import attention

# ---------------------------------------------------------------------------------------------- NumPy references


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def softmax(x):
  e = np.exp(x - x.max(-1, keepdims=True))
  return e / e.sum(-1, keepdims=True)


def dense(p, x):
  return x @ p['kernel'] + p.get('bias', 0)


def norm(p, x):
  mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
  return (x - mean) / np.sqrt(var + 1e-5) * p['scale'] + p['bias']


def gelu(x):
  return x * 0.5 * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))


def sagan(p, x, signal):
  batch, height, width, channels = x.shape

  def pool(y):
    """Maxima over 2x2 px; the last row or column alone, where there is one."""
    rows = [y[:, i : i + 2].max(1) for i in range(0, height, 2)]
    rows = np.stack(rows, 1)
    return np.stack([rows[:, :, j : j + 2].max(2) for j in range(0, width, 2)], 2)

  q, k, v = (x @ p[name]['kernel'][0, 0] for name in ('query', 'key', 'value'))
  assert (q.shape[-1], v.shape[-1]) == (channels // 8, channels // 2)
  k, v = pool(k), pool(v)
  weights = softmax(q.reshape(batch, -1, q.shape[-1]) @ k.reshape(batch, -1, k.shape[-1]).transpose(0, 2, 1))
  y = (weights @ v.reshape(batch, -1, v.shape[-1])).reshape(batch, height, width, -1) @ p['output']['kernel'][0, 0]
  seen = weights.mean(1).reshape(k.shape[:3]) * k.shape[1] * k.shape[2]
  return x + p['gamma'] * y, seen.repeat(2, 1).repeat(2, 2)[:, :height, :width], None


def se(p, x, signal):
  weights = sigmoid(dense(p['excite'], np.maximum(dense(p['squeeze'], x.mean((1, 2))), 0)))
  return x * weights[:, None, None], None, None


def cbam(p, x, signal):
  mlp = lambda z: dense(p['excite'], np.maximum(dense(p['squeeze'], z), 0))  # noqa: E731
  x = x * sigmoid(mlp(x.mean((1, 2))) + mlp(x.max((1, 2))))[:, None, None]
  ends, kernel = np.stack([x.mean(-1), x.max(-1)], -1), p['spatial']['kernel']
  reach = len(kernel) // 2
  padded = np.pad(ends, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
  seen = np.zeros(x.shape[:3])
  for i in range(x.shape[1]):
    for j in range(x.shape[2]):
      seen[:, i, j] = np.tensordot(padded[:, i : i + len(kernel), j : j + len(kernel)], kernel[..., 0], 3)
  seen = sigmoid(seen)
  return x * seen[..., None], seen, None


def gate(p, x, signal):
  seen = sigmoid(dense(p['psi'], np.maximum(dense(p['skip'], x) + dense(p['signal'], signal), 0)))
  return x * seen, seen[..., 0], None


def cam(p, x, signal):
  logits = np.concatenate([x.mean((1, 2)) @ p['mean'], x.max((1, 2)) @ p['max']], -1)
  y = dense(p['mix'], np.concatenate([x * p['mean'][:, 0], x * p['max'][:, 0]], -1))
  y = np.where(y > 0, y, 0.2 * y)
  return y, y.sum(-1), logits


def self_attention(p, prefix, x, heads, bias=0.0):
  """x [T, C] of one image or group; bias [heads, T, T]."""
  q, k, v = (
    dense(p[f'{prefix}{n}'], x).reshape(len(x), heads, -1).transpose(1, 0, 2) for n in ('query', 'key', 'value')
  )
  weights = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1]) + bias)
  y = (weights @ v).transpose(1, 0, 2).reshape(x.shape)
  return dense(p[f'{prefix}output'], y), weights.mean((0, 1)) * len(x)


def vit(p, x, signal):
  batch, height, width, channels = x.shape
  places = [[2 * j / (width - 1) - 1, 2 * i / (height - 1) - 1] for i in range(height) for j in range(width)]
  embedding = np.sin(dense(p['places'], np.array(places)))
  outputs, maps = [], []
  for image in x.reshape(batch, -1, channels):
    z = dense(p['input'], np.concatenate([embedding, image], -1))
    for i in range(2):
      y, seen = self_attention(p, f'block{i}_', norm(p[f'block{i}_norm0'], z), 2)
      z = z + p[f'alpha{i}'] * y
      y = dense(p[f'block{i}_hidden'], norm(p[f'block{i}_norm1'], z))
      z = z + p[f'alpha{i}'] * dense(p[f'block{i}_ffn'], gelu(y))
    outputs.append(dense(p['output'], z).reshape(height, width, channels))
    maps.append(seen.reshape(height, width))
  return np.stack(outputs), np.stack(maps), None


def groups(p, x, together):
  """Attention among pixels whose `together(i, j)` is one and the same, biased by how far apart they lie in it."""
  (batch, height, width, _), size = x.shape, 4
  normed, y, maps = norm(p['norm0'], x), np.zeros_like(x), np.zeros(x.shape[:3])
  members = {}
  for i in range(height):
    for j in range(width):
      group, place = together(i, j, height, width, size)
      members.setdefault(group, []).append((i, j, *place))
  for pixels in members.values():
    i, j, row, col = np.array(pixels).T
    apart = (row[:, None] - row + size - 1) * (2 * size - 1) + col[:, None] - col + size - 1
    for b in range(batch):
      out, seen = self_attention(p, '', normed[b, i, j], 2, p['bias'][:, apart])
      y[b, i, j], maps[b, i, j] = out, seen
  x = x + y
  return x + dense(p['ffn'], gelu(dense(p['hidden'], norm(p['norm1'], x)))), maps, None


def window(p, x, signal):
  return groups(p, x, lambda i, j, height, width, size: ((i // size, j // size), (i % size, j % size)))


def grid(p, x, signal):
  def together(i, j, height, width, size):
    down, across = -(-height // size), -(-width // size)
    return (i % down, j % across), (i // down, j // across)

  return groups(p, x, together)


SPECS = {
  'sagan': 'sagan',
  'se': 'se(reduction=2)',
  'cbam': 'cbam(reduction=2, kernel=3)',
  'gate': 'gate',
  'cam': 'cam(slope=0.2)',
  'vit': 'vit(blocks=2, heads=2)',
  'window': 'window(size=4, heads=2)',
  'grid': 'grid(size=4, heads=2)',
}


def test_every_kind_is_tested():
  assert sorted(SPECS) == sorted(attention.kinds())


def call(spec, x, signal=None, variables=None):
  block = attention.block(spec, 'here')()
  switches = {'signal': signal, 'running_stats': False}
  variables = variables or jax.jit(lambda x: block.init(jax.random.key(0), x, **switches))(x)
  return jax.jit(lambda v, x: block.apply(v, x, **switches))(variables, x), variables


@pytest.mark.parametrize('shape', [(2, 8, 8), (2, 5, 9)], ids=['even', 'odd'])
@pytest.mark.parametrize('kind', SPECS)
def test_a_block_is_its_definition(kind, shape):
  rng = np.random.default_rng(len(kind))
  with jax.enable_x64(True):
    x, signal = rng.normal(size=(*shape, 16)), rng.normal(size=(*shape, 6))
    block, singles = attention.block(SPECS[kind], 'here')(), (np.float32(x), np.float32(signal))
    shapes = jax.eval_shape(
      lambda *x: block.init(jax.random.key(0), x[0], signal=x[1], running_stats=False), *singles
    )
    # Not as they start: zeros would hide what they multiply.
    params = jax.tree.map(lambda p: rng.normal(scale=0.4, size=p.shape), shapes['params'])
    (y, out), _ = call(SPECS[kind], x, signal, {'params': params})
    expected, seen, logits = globals()[kind](params, x, signal)
  np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
  for name, value in (('map', seen), ('logits', logits)):
    assert (name in out) == (value is not None)
    if value is not None:
      np.testing.assert_allclose(out[name], value, rtol=1e-5, atol=1e-5)


def test_sagan_starts_from_the_identity_and_vits_transformer_does():
  x = jax.random.normal(jax.random.key(1), (2, 8, 8, 16))
  np.testing.assert_array_equal(call('sagan', x)[0][0], x)
  one, three = (call(f'vit(blocks={n})', x)[1]['params'] for n in (1, 3))
  assert all(three[f'alpha{i}'] == 0 for i in range(3))
  # Without its blocks' weight the number of blocks makes no difference.
  few, many = call('vit(blocks=1)', x, variables={'params': {k: three[k] for k in one}}), call('vit(blocks=3)', x)
  np.testing.assert_array_equal(few[0][0], many[0][0])


# ------------------------------------------------------------------------------------------------------- in a net

STAGES = {
  'unet': ['down0', 'down1', 'bottleneck', 'skip0', 'up0', 'up1'],
  'resnet': ['stem', 'down0', 'down1', 'block0', 'bottleneck', 'up0', 'up1'],
  'patchgan': ['conv0', 'conv1', 'conv2'],
}
SHRUNK = {'vit': 'vit(blocks=1, heads=1)', 'window': 'window(size=3, heads=1)', 'grid': 'grid(size=3, heads=1)'}


@pytest.fixture
def small(tiny):
  """16 px, few channels; a U-Net, a ResNet and a PatchGAN that each train a step in no time."""
  with tiny.unlocked():
    tiny.batch_size = 2
    tiny.data.update({'load_size': (16, 16), 'crop_size': (16, 16)})
    tiny.gen.update({'depth': 2, 'width': 8, 'max_width': 8, 'blocks': 1, 'norm': 'instance', 'dropout': 0.0})
    tiny.disc.update({'layers': 2, 'width': 8, 'norm': 'instance'})
    tiny.optim.schedule = 'constant'
    tiny.loss.gan = 'lsgan'
  return tiny


def batch_of(config):
  rng = np.random.default_rng(0)
  return {k: rng.uniform(-1, 1, (config.batch_size, *config.data.crop_size, 3)).astype(np.float32) for k in 'ab'}


@functools.cache
def split(stages: int, kinds: int) -> list[tuple[int, ...]]:
  """Latin squares: in run r stage s has kind (r + s) % kinds, so that each kind comes to each stage once."""
  return [tuple((r + s) % kinds for s in range(stages)) for r in range(kinds)]
