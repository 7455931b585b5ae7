"""The same numbers as PyTorch: layer by layer, whole nets, gradients, and ten updates of each method.

The goldens are PyTorch's, in float64 (make_goldens.py); nothing here needs PyTorch. A deviation is the largest
difference by the largest value; of a loss, the relative difference. The tolerances are what README and docs claim,
and hold on any machine: they are not to be widened for a test to pass.
"""

import functools
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from i2i_jax import fields, methods, models
from i2i_jax.exporting import torch_weights
from i2i_jax.layers import conv, norm
from i2i_jax.losses import image_pool
from tests import parity_cases as cases

FLOAT64, FLOAT32 = 1e-12, 1e-4


pytestmark = pytest.mark.usefixtures('double_precision')


@functools.cache
def goldens(name: str) -> dict[str, dict[str, np.ndarray]]:
  """{case: {name: array}} of a file; its keys are 'case:name'."""
  out = {}
  with np.load(Path(__file__).parents[1] / 'goldens' / f'{name}.npz') as file:
    for key in file.files:
      case, _, rest = key.rpartition(':')
      out.setdefault(case, {})[rest] = file[key]
  return out


def deviation(ours, theirs, scale=None) -> float:
  ours, theirs = np.asarray(ours), np.asarray(theirs)
  assert ours.shape == theirs.shape
  return float(np.abs(ours - theirs).max() / (scale or np.abs(theirs).max()))


# Nearly all of the time here is LLVM's: code that it does not polish is compiled three times as fast.
compiled = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


def nhwc(x):
  return np.moveaxis(x, 1, -1)


def nchw(x):
  return np.moveaxis(np.asarray(x), -1, 1)


def config_of(changes: dict, where: str):
  """config.gen or config.disc with these fields."""
  config = fields.defaults()[where]
  config.update(changes)
  return config


# ------------------------------------------------------------------------------------------------------ layers


class Function(nn.Module):
  """A layer without weights."""

  function: str

  def __call__(self, x):
    return nn.leaky_relu(x, 0.2) if self.function == 'leaky_relu' else conv.pad(x, 3, 'reflect')


def layer_of(case: str) -> tuple[nn.Module, str]:
  """Our layer, and its kind in torch_weights."""
  kind, _, name = case.rpartition('/')
  kind, _, mode = kind.partition('/')
  if kind == 'conv':
    kernel, stride, padding = cases.CONVS[name]
    return conv.Conv(cases.CHANNELS[1], kernel, stride, padding, mode), 'conv'
  if kind == 'transpose':
    kernel, output_padding = cases.TRANSPOSED[name]
    return conv.ConvTranspose(cases.CHANNELS[1], kernel, output_padding=output_padding), 'transpose'
  return (norm.Norm(name) if kind == 'norm' else Function(case)), 'norm'


LAYER_CASES = [
  *(f'conv/zero/{name}' for name in cases.CONVS),
  *(f'conv/reflect/{name}' for name in cases.REFLECTED),
  *(f'transpose/{name}' for name in cases.TRANSPOSED),
  *('norm/instance', 'norm/batch', 'leaky_relu', 'reflect'),
]


class Alone(nn.Module):
  """A layer as a net, so that it has a name."""

  layer: nn.Module

  def __call__(self, x):
    return self.layer(x)


@pytest.mark.parametrize('case', LAYER_CASES)
def test_layers(case):
  golden = goldens('layers')[case]
  layer, kind = layer_of(case)
  found = [torch_weights.Layer('layer', ('layer',), kind)]
  x = nhwc(cases.normal(f'{case}/x', cases.INPUT))
  results = jax.tree.map(np.asarray, applied(Alone(layer), found, case, x, 'layer.'))
  assert results.keys() >= golden.keys() - {'y_eval'}
  for name, theirs in golden.items():
    if name != 'y_eval':
      assert deviation(results[name], theirs) < FLOAT64, name
  if 'y_eval' in golden:
    evaluating, variables = (
      Alone(norm.Norm('batch', running_stats=True)),
      drawn(Alone(layer), found, case, x, 'layer.'),
    )
    assert deviation(nchw(compiled(evaluating.apply)(variables, x)), golden['y_eval']) < FLOAT64


# -------------------------------------------------------------------------------------------------------- nets


def drawn(net, found, case, x, prefix='', **switches):
  """Our variables of the weights that parity_cases draws, by the names and shapes that PyTorch has for them."""
  shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.float32(x), **switches))
  shapes = {key: dict(shapes.get(key, {})) for key in ('params', 'batch_stats')}
  empty = jax.tree.map(lambda v: np.zeros(v.shape), shapes)
  wanted = {name.removeprefix(prefix): v.shape for name, v in torch_weights.to_torch(found, empty).items()}
  tensors = {prefix + name: v for name, v in cases.weights(case, wanted).items()}
  return torch_weights.from_torch(found, tensors, shapes, case)


def applied(net, found, case, x, prefix='', **switches):
  """What make_goldens.pulled_back gives, in its names and layouts, and 'after/NAME', the running statistics."""
  variables = drawn(net, found, case, x, prefix, **switches)

  @compiled
  def run(params, x):
    def forward(params, x):
      y, changed = net.apply(
        {'params': params, 'batch_stats': variables['batch_stats']}, x, mutable=['batch_stats'], **switches
      )
      return (y[0] if isinstance(y, tuple) else y), changed

    y, pull_back, changed = jax.vjp(forward, params, x, has_aux=True)
    cotangent = cases.normal(f'{case}/cotangent', (y.shape[0], y.shape[3], *y.shape[1:3]))
    return y, pull_back(jnp.asarray(nhwc(cotangent), y.dtype)), changed.get('batch_stats', {})

  y, (grads, grad_x), stats = run(variables['params'], x)
  after = torch_weights.to_torch(found, {'params': {}, 'batch_stats': stats})
  return {
    'y': nchw(y),
    'grad_x': nchw(grad_x),
    **{f'grad/{n.removeprefix(prefix)}': v for n, v in torch_weights.to_torch(found, {'params': grads}).items()},
    **{f'after/{n.removeprefix(prefix)}': v for n, v in after.items() if v.ndim},
  }


def net_of(case):
  changes, channels, shape = {**cases.NETS, 'unet_256': cases.UNET_256}[case]
  where = 'disc' if changes['name'] == 'patchgan' else 'gen'
  config = config_of(changes, where)
  switches = {'running_stats': False} | ({'dropout': False} if where == 'gen' else {})
  x = nhwc(cases.images(f'{case}/x', shape))
  return models.build(config, channels, where=where), torch_weights.layers(config), switches, x


@pytest.mark.parametrize('case', cases.NETS)
def test_nets_forward_and_backward(case):
  golden = goldens('nets')[case]
  net, found, switches, x = net_of(case)
  variables = drawn(net, found, case, x, **switches)
  shapes = {name: v.shape for name, v in torch_weights.to_torch(found, variables).items()}
  theirs = [tuple(map(int, text.split())) for text in golden['shapes']]
  assert shapes == dict(zip(golden['names'], theirs, strict=True))

  results = applied(net, found, case, x, **switches)
  largest = max(np.abs(v).max() for name, v in golden.items() if name.startswith('grad/'))
  for name, theirs in golden.items():
    if name in results:
      # The bias before an instance norm has no gradient but rounding: there the other gradients give the scale.
      scale = largest if name.startswith('grad/') and np.abs(theirs).max() < 1e-9 * largest else None
      assert deviation(results[name], theirs, scale) < FLOAT64, name
  assert results.keys() == golden.keys() - {'names', 'shapes', 'y_eval'}


@pytest.mark.parametrize('case', [c for c in cases.NETS if cases.NETS[c][0]['norm'] == 'batch'])
def test_nets_with_running_statistics(case):
  net, found, switches, x = net_of(case)
  variables = drawn(net, found, case, x, **switches)
  run = compiled(lambda v, x: net.apply(v, x, **{**switches, 'running_stats': True})[0])
  assert deviation(nchw(run(variables, x)), goldens('nets')[case]['y_eval']) < FLOAT64


@pytest.mark.parametrize('case', ['unet', 'resnet_9blocks', 'resnet_6blocks_batch', 'patchgan', 'pixel_instance'])
def test_nets_in_single_precision(case):
  net, found, switches, x = net_of(case)
  variables = jax.tree.map(np.float32, drawn(net, found, case, x, **switches))
  run = jax.jit(lambda v, x: net.apply(v, x, mutable=['batch_stats'], **switches)[0][0])
  y = run(variables, np.float32(x))
  assert y.dtype == jnp.float32
  assert deviation(nchw(y), goldens('nets')[case]['y']) < FLOAT32


def test_the_unet_of_256_pixels():
  net, found, switches, x = net_of('unet_256')
  variables = drawn(net, found, 'unet_256', x, **switches)
  y = jax.jit(lambda v, x: net.apply(v, x, mutable=['batch_stats'], **switches)[0][0])(variables, x)
  assert deviation(nchw(y[:, :: cases.EVERY, :: cases.EVERY]), goldens('nets')['unet_256']['y']) < FLOAT64


# ----------------------------------------------------------------------------------------------------- updates


def method_of(name: str, settings: dict, **loss):
  config = fields.defaults()
  config.method, config.precision, config.batch_size = name, 'float64', settings['batch']
  config.gen.update(settings['gen'])
  config.disc.update(settings['disc'])
  config.data.crop_size = (cases.SIZE, cases.SIZE)
  config.loss.update(loss)
  config.steps = cases.STEPS  # with the default schedule
  if 'pool' in settings:
    config.pool = settings['pool']
  return config, methods.get(config, steps_per_epoch=cases.EPOCH)


def batches(name: str, count: int):
  shape = (count, 3, cases.SIZE, cases.SIZE)
  return [{k: nhwc(cases.images(f'{name}/{step}/{k}', shape)) for k in 'ab'} for step in range(cases.STEPS)]


def blank(method, batch):
  """A state of zeros, as its optimizers' and pools' are at the start; to draw weights takes long to compile."""
  shapes = jax.eval_shape(method.init, jax.random.key(0), batch)
  return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


def filled(found, shapes, case):
  """{'params', 'batch_stats'} of the drawn weights, in the place of `shapes`."""
  empty = jax.tree.map(lambda v: np.zeros(v.shape), shapes)
  wanted = {name: v.shape for name, v in torch_weights.to_torch(found, empty).items()}
  return torch_weights.from_torch(found, cases.weights(case, wanted), shapes, case)


def check_trace(name: str, history: list[dict], finals: dict[str, tuple]):
  """Losses at each step; then the weights after the last, {net: (layers, variables)}.

  An instance norm takes away the bias before it: nothing depends on it, its gradient is rounding (1e-17), and Adam,
  which divides by that, makes 1e-10 of it.
  """
  golden = goldens(name)
  for key, theirs in golden[''].items():
    ours = np.array([float(metrics[key]) for metrics in history])
    assert np.abs(ours / theirs - 1).max() < FLOAT64, key
  for net, (found, variables) in finals.items():
    ours = torch_weights.to_torch(found, jax.tree.map(np.asarray, variables))
    void = {f'{layer.torch}.bias' for layer, after in itertools.pairwise(found) if after.kind == 'norm'}
    for key, theirs in golden[net].items():
      assert deviation(ours[key], theirs) < (1e-8 if key in void else FLOAT64), (net, key)


def test_ten_updates_of_pix2pix():
  settings = cases.PIX2PIX
  config, method = method_of('pix2pix', settings, gan='vanilla', l1=100.0)
  data = batches('pix2pix', settings['batch'])
  state = blank(method, data[0])
  found = {net: torch_weights.layers(config[net]) for net in ('gen', 'disc')}

  def variables(state, net):
    return {'params': state.params[net], 'batch_stats': state.extra['batch_stats'][net]}

  start = {net: filled(found[net], variables(state, net), f'pix2pix/{net}') for net in found}
  state = state.replace(
    params={net: v['params'] for net, v in start.items()},
    extra={**state.extra, 'batch_stats': {net: v['batch_stats'] for net, v in start.items()}},
  )
  step, history = compiled(method.train_step), []
  for batch in data:
    state, metrics = step(state, batch, jax.random.key(0))
    history.append(metrics)
  check_trace('pix2pix', history, {net: (found[net], variables(state, net)) for net in found})


def test_ten_updates_of_cyclegan(monkeypatch):
  settings = cases.CYCLEGAN
  config, method = method_of('cyclegan', settings, gan='lsgan', cycle_a=10.0, cycle_b=10.0, identity=0.5)
  data = batches('cyclegan', settings['batch'])
  state = blank(method, data[0])
  groups = {'gen': ('ab', 'ba'), 'disc': ('a', 'b')}
  found = {net: torch_weights.layers(config[group]) for group in groups for net in groups[group]}

  params = {
    group: {
      net: filled(found[net], {'params': state.params[group][net], 'batch_stats': {}}, f'cyclegan/{net}')['params']
      for net in nets
    }
    for group, nets in groups.items()
  }
  state = state.replace(params=params)

  @compiled
  def step(state, batch, draws):
    waiting = iter(draws)  # the pools ask in the order of their names
    monkeypatch.setattr(image_pool, 'draw', lambda rng, pool, batch: next(waiting))
    return method.train_step(state, batch, jax.random.key(0))

  history = []
  draws = [cases.pool_draws(which) for which in 'ab']
  for i, batch in enumerate(data):
    state, metrics = step(state, batch, [(swap[i], slot[i]) for swap, slot in draws])
    history.append(metrics)
  assert any(swap[2:].any() for swap, _ in draws)
  finals = {net: (found[net], {'params': state.params[g][net]}) for g, nets in groups.items() for net in nets}
  check_trace('cyclegan', history, finals)
