"""Attention: blocks against definitions written out in NumPy, their text in a config, and their places in nets."""

import json
import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from i2i_jax import config as configuration
from i2i_jax import fields, methods, models, train
from i2i_jax.data import images
from i2i_jax.errors import BadInput
from i2i_jax.inference import attention as attention_views
from i2i_jax.layers import attention
from tests.small import whole_state

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
  return jax.jit(lambda v, x: block.apply(v, x, **switches, mutable=['batch_stats'])[0])(variables, x), variables


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
  np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
  for name, value in (('map', seen), ('logits', logits)):
    assert (name in out) == (value is not None)
    if value is not None:
      np.testing.assert_allclose(out[name], value, rtol=1e-12, atol=1e-12)


def test_blocks_have_their_authors_form_behind_fields():
  x = jax.random.normal(jax.random.key(1), (2, 8, 8, 32))
  for kind, ours in (('se', 8), ('cbam', 8)):
    hidden = [call(f'{kind}{spec}', x)[1]['params']['squeeze']['kernel'].shape[-1] for spec in ('', '(smallest=1)')]
    assert hidden == [ours, 32 // 16]
  signal = jax.random.normal(jax.random.key(2), (2, 8, 8, 16))
  (plain, _), variables = call('gate', x, signal)
  (y, _), full = call('gate(output=True)', x, signal)
  assert full['params'].keys() - variables['params'].keys() == {'output', 'norm'}
  params = jax.tree.map(np.asarray, full['params'] | variables['params'])
  (y, _), _ = call('gate(output=True)', x, signal, {**full, 'params': params})
  expected = np.asarray(dense(params['output'], np.asarray(plain)))
  expected = (expected - expected.mean((0, 1, 2))) / np.sqrt(expected.var((0, 1, 2)) + 1e-5)
  np.testing.assert_allclose(y, expected * params['norm']['scale'] + params['norm']['bias'], rtol=1e-3, atol=1e-4)


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
SHRUNK = {'vit': 'vit(blocks=1, heads={})', 'window': 'window(size=3, heads={})', 'grid': 'grid(size=3, heads={})'}


def square(net: str, turn: int) -> dict[str, str]:
  """A row of a Latin square: over len(SPECS) turns each kind comes to each stage once."""
  kinds = sorted(SPECS)
  rows = {stage: kinds[(turn + i) % len(kinds)] for i, stage in enumerate(STAGES[net])}
  # The U-Net's last stage has the image's 3 channels.
  return {s: SHRUNK.get(k, k).format(1 if (net, s) == ('unet', 'up0') else 2) for s, k in rows.items()}


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


def blocks_of(params) -> dict:
  return {name.removesuffix('_attention'): p for name, p in params.items() if name.endswith('_attention')}


@pytest.mark.parametrize(
  'turn', [pytest.param(i, marks=pytest.mark.slow if i % 3 else ()) for i in range(len(SPECS))]
)
@pytest.mark.parametrize('net', STAGES)
def test_every_kind_at_every_stage_trains_and_counts(small, net, turn):
  """After 5 steps each block changes what passes through it, and its gradients at the net's output are not zero."""
  where = 'disc' if net == 'patchgan' else 'gen'
  small[where].name = net
  small[where].attention = square(net, turn)
  module = models.build(small[where], 3, where=where)
  x = jax.random.normal(jax.random.key(1), (2, 16, 16, 3))
  switches = {'running_stats': False} | ({'dropout': False} if where == 'gen' else {})

  def loss(params):
    passed = {}

    def note(call, args, kwargs, context):
      y = call(*args, **kwargs)
      name = context.module.name or ''
      if name.endswith('_attention') and context.method_name == '__call__':
        passed[name.removesuffix('_attention')] = jnp.abs(y[0] - args[0]).max()
      return y

    with nn.intercept_methods(note):
      y, out = module.apply({'params': params}, x, **switches)
    errors = [jnp.square(leaf - jnp.cos(jnp.arange(leaf.size).reshape(leaf.shape))) for leaf in jax.tree.leaves(y)]
    return sum(jnp.mean(e) for e in errors), (passed, out['attention'])

  step = jax.jit(jax.value_and_grad(loss, has_aux=True))
  params = jax.jit(lambda: module.init(jax.random.key(0), x, **switches)['params'])()
  for _ in range(6):
    (value, (passed, maps)), grads = jax.device_get(step(params))
    assert np.isfinite(value)
    params = jax.tree.map(lambda p, g: np.float32(p - 2e-3 * np.sign(g)), params, grads)

  assert set(passed) == set(STAGES[net]) == set(blocks_of(grads))
  assert all(change > 0 for change in passed.values())
  for path, grad in jax.tree_util.tree_leaves_with_path(blocks_of(grads)):
    assert np.isfinite(grad).all(), path
    assert np.abs(grad).max() > 0, path
  assert all(m.ndim == 3 and m.shape[0] == 2 and np.isfinite(m).all() for m in maps.values())


def test_no_attention_is_the_net_as_it_was(small):
  """Attention adds parameters of its own and touches no other: not even their first values."""
  for net in ('unet', 'resnet'):
    small.gen.name = net
    params = []
    for spec in ('', 'bottleneck=sagan'):
      small.gen.attention = spec
      module = models.build(small.gen, 3, where='gen')
      x = np.zeros((1, 16, 16, 3), np.float32)
      switches = {'dropout': False, 'running_stats': False}
      params.append(jax.jit(lambda m=module, s=switches, x=x: m.init(jax.random.key(0), x, **s))()['params'])
    plain, attended = params
    assert set(attended) - set(plain) == {'bottleneck_attention'}
    jax.tree.map(np.testing.assert_array_equal, plain, {k: attended[k] for k in plain})


# ---------------------------------------------------------------------------------------- from text to a trained run


@pytest.mark.parametrize(
  'given', ['down0=se(reduction=2);skip0 = gate', {'down0': 'se(reduction=2)', 'skip0': 'gate'}]
)
def test_a_config_takes_text_and_dicts_through_json(given):
  config = fields.defaults()
  config.gen.update({'depth': 3, 'attention': given})
  again = configuration.from_dict(json.loads(json.dumps(configuration.to_dict(config.lock()))))
  net = models.build(again.gen, 3, where='gen')
  assert {stage: (block.func, block.keywords) for stage, block in net.attention.items()} == {
    'down0': (attention.SE, {'reduction': 2}),
    'skip0': (attention.Gate, {}),
  }


def test_the_command_line_takes_text():
  flag = '--config.gen.attention=bottleneck=vit(blocks=2, heads=1); skip2=gate'
  config = configuration.load(['--config=pix2pix', flag, '--config.disc.attention=conv1=cam'])
  assert list(models.build(config.gen, 3, where='gen').attention) == ['bottleneck', 'skip2']
  assert list(models.build(config.disc, 1, where='disc').attention) == ['conv1']


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    ('down9=sagan', "config.gen.attention: stage = 'down9' is not known: did you mean 'down"),
    ('skip2=gate', "stage = 'skip2' is not known"),  # the innermost stage of depth 3 has no skip
    ('down1=sagann', "config.gen.attention: down1 = 'sagann' is not known: did you mean 'sagan'"),
    ('down1=conv', "'conv' is not known"),
    ('down1=cbam(reductoin=8)', "argument of cbam = 'reductoin' is not known: did you mean 'reduction'"),
    ('down1=cbam(name=8)', "argument of cbam = 'name' is not known"),
    ('down1=cbam(reduction=0)', r'cbam\(reduction=0\) must be of type int, from 1 on'),
    ('down1=cbam(reduction=1.5)', 'must be of type int'),
    ("down1=sagan(spectral='yes')", 'must be of type bool'),
    ('down1=cam(slope=1e999)', 'must be of type float'),
    ('down1=cbam(8)', 'not of the form'),
    ('down1=cbam(reduction=open("x"))', 'not of the form'),
    ('down1=__import__("os").getcwd()', 'not of the form'),
    ('down1=', 'not of the form'),
    ('down1', 'lacks its kind'),
    ('down1=se; down1=gate', "stage 'down1' is given twice"),
    (3, 'must be like'),
  ],
)
def test_what_is_wrong_with_a_spec_is_said(small, given, message):
  small.gen.update({'depth': 3, 'attention': given})
  with pytest.raises(BadInput, match=message) as error:
    methods.get(small)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('spec', 'message'),
  [('up0=window(heads=4)', r'attention at up0: 3 channels cannot be split over heads=4; heads may be \[1, 3\]'),
   ('down0=cbam(kernel=4)', 'give an odd one')],
)  # fmt: skip
def test_what_does_not_fit_a_stage_is_said(small, spec, message):
  small.gen.attention = spec
  net = models.build(small.gen, 3, where='gen')
  with pytest.raises(BadInput, match=message):
    jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), dropout=False, running_stats=False))


def test_cams_classifiers_learn_to_tell_source_from_target(small):
  """pix2pix: their loss falls; and with no weight their logits have no say."""
  small.gen.attention, small.disc.attention = 'bottleneck=cam', 'conv1=cam'
  small.optim.lr = 1e-2
  method, batch = methods.get(small), batch_of(small)
  state = jax.jit(method.init)(jax.random.key(0), batch)
  step, seen = jax.jit(method.train_step), []
  for i in range(12):
    state, metrics = step(state, batch, jax.random.key(i))
    seen.append({k: float(v) for k, v in metrics.items()})
  expected = (
    small.loss.cam * seen[0]['loss/cam'] + seen[0]['loss/gan'] + small.loss.reconstruction_weight * seen[0]['loss/l1']
  )
  assert seen[0]['loss/gen'] == pytest.approx(expected, rel=1e-5)
  assert seen[-1]['loss/cam'] < 0.8 * seen[0]['loss/cam']
  small.loss.cam = 0.0
  assert 'loss/cam' not in jax.eval_shape(methods.get(small).train_step, state, batch, jax.random.key(0))[1]


@pytest.mark.slow
def test_a_run_with_attention_resumes_and_shows_its_maps(small, tmp_path):
  with small.unlocked():
    small.update({'steps': 4, 'checkpoint_every': 2, 'eval_every': 2, 'samples': 2, 'batch_size': 8})
    small.gen.attention = {'skip0': 'gate', 'bottleneck': 'sagan', 'down0': 'se'}
    small.disc.update({'attention': 'conv0=se', 'spectral_norm': True})
  train.train(small, tmp_path / 'straight', mesh_spec='data=1')
  train.train(small, tmp_path / 'twice', mesh_spec='data=1', stop_at=2)
  train.train(small, tmp_path / 'twice', mesh_spec='data=1')
  straight, twice = (whole_state(tmp_path / name) for name in ('straight', 'twice'))
  jax.tree.map(np.testing.assert_array_equal, straight, twice)
  notes = json.loads((tmp_path / 'twice' / 'run.json').read_text())
  assert notes['attention'] == ['input', 'output', 'bottleneck', 'skip0']  # squeeze-and-excitation has no map
  drawn = {p.name for p in (tmp_path / 'twice' / 'attention').iterdir()}
  assert drawn >= {'step_00000002.png', 'step_00000004.png'}
  assert 'Where it looks' in (tmp_path / 'twice' / 'report.html').read_text()
  picture = images.read(attention_views.draw(tmp_path / 'twice', 'val', count=2))
  assert picture.shape == (2 * 16 + 2, 4 * 16 + 3 * 2, 3)


def test_the_new_kind_of_the_docs_works_as_it_stands(small, monkeypatch):
  """One class pasted into layers/attention.py, and the argument that docs/extending.md gives."""
  text = (Path(__file__).parents[2] / 'docs' / 'extending.md').read_text()
  lines = text.split('```diff\n')[1].split('```')[0].splitlines()
  spec = re.search(r'attention="(up2=brightness.*?)"', text)[1]
  monkeypatch.setitem(vars(attention), 'Brightness', None)  # taken away again afterwards
  exec('\n'.join(line[1:] for line in lines if line.startswith('+')), vars(attention))
  small.gen.update({'depth': 3, 'attention': spec})
  net, x = models.build(small.gen, 3, where='gen'), jnp.ones((1, 16, 16, 3))
  init = lambda x: net.init_with_output(jax.random.key(0), x, dropout=False, running_stats=False)  # noqa: E731
  (_, out), variables = jax.eval_shape(init, x)
  assert out['attention']['up2'].shape == (1, 4, 4)
  assert list(variables['params']['up2_attention']) == ['share']


def test_an_overlay_is_yellow_where_most_is_seen():
  attended = np.zeros((4, 4), np.float32)
  attended[:, 2:] = 5
  drawn = attention_views.overlay(np.full((16, 16, 3), 100, np.uint8), attended).astype(int)
  assert drawn[8, 14].tolist() == pytest.approx([190, 178, 64], abs=8)
  assert drawn[8, 1].tolist() == pytest.approx([48, 45, 76], abs=8)
  assert attention_views.overlay(np.zeros((8, 8, 1), np.uint8), np.ones((4, 4))).shape == (8, 8, 3)
