"""U-GAT-IT: published parameter counts, its norm by definition, and its update written out step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from i2i_jax import fields, methods, models, train
from i2i_jax.errors import BadInput
from i2i_jax.methods import base
from i2i_jax.models import ugatit
from i2i_jax.runtime.describe import parameter_count


@pytest.fixture
def tiny_ugatit(tiny):
  with tiny.unlocked():
    tiny.method = 'ugatit'
    tiny.data.update({'paired': False, 'load_size': (16, 16), 'crop_size': (16, 16)})
    tiny.gen.update({'name': 'ugatit', 'blocks': 1, 'width': 2, 'light': True})
    tiny.disc.update({'name': 'ugatit', 'layers': 4, 'width': 2})
    tiny.loss.update({'gan': 'lsgan', 'identity': 1.0, 'cam': 1000.0})
    tiny.optim.update({'lr': 1e-3, 'weight_decay': 0.1, 'schedule': 'constant'})
    tiny.update({'batch_size': 2, 'pool': 0})
  return tiny


def batch_of(config):
  rng = np.random.default_rng(0)
  return {k: rng.uniform(-1, 1, (2, *config.data.crop_size, 3)).astype(np.float32) for k in 'ab'}


def shapes(net, **switches):
  x = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32)
  return jax.eval_shape(lambda x: net.init(jax.random.key(0), x, running_stats=False, **switches), x)['params']


@pytest.mark.parametrize(('light', 'count'), [(False, 278_959_808), (True, 10_589_888)])
def test_the_generator_has_the_published_parameters(light, count):
  config = fields.defaults()
  config.gen.update({'name': 'ugatit', 'blocks': 4, 'light': light})
  assert parameter_count(shapes(models.build(config.gen, 3, where='gen'), dropout=False)) == count


def test_the_discriminators_have_the_published_parameters():
  config = fields.defaults()
  config.disc.update({'name': 'ugatit', 'layers': 7})
  params = shapes(models.build(config.disc, 1, where='disc'))
  assert {k: parameter_count(v) for k, v in params.items()} == {'global': 53_130_176, 'local': 3_290_560}


@pytest.mark.parametrize('styled', [True, False])
def test_lin_mixes_instance_and_layer_norm_with_unbiased_variances(styled):
  rng = np.random.default_rng(0)
  x, rho, gamma, beta = rng.normal(2, 3, (2, 3, 4, 5)), rng.uniform(size=5), rng.normal(size=5), rng.normal(size=5)
  if styled:
    gamma, beta = rng.normal(size=(2, 5)), rng.normal(size=(2, 5))
  params = {'rho': rho} | ({} if styled else {'gamma': gamma, 'beta': beta})
  params = jax.tree.map(np.float32, params)
  style = (jnp.float32(gamma), jnp.float32(beta)) if styled else None
  y = ugatit.LIN().apply({'params': params}, jnp.float32(x), style)
  mixed = sum(
    weight * (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, ddof=1, keepdims=True) + 1e-5)
    for weight, axes in ((rho, (1, 2)), (1 - rho, (1, 2, 3)))
  )
  gamma, beta = (v[:, None, None] if styled else v for v in (gamma, beta))
  np.testing.assert_allclose(y, mixed * gamma + beta, atol=1e-5)
  first = ugatit.LIN().init(jax.random.key(0), jnp.float32(x), style)['params']['rho']
  np.testing.assert_array_equal(first, np.full(5, 0.9 if styled else 0.0, np.float32))


def test_a_step_is_the_references(tiny_ugatit):
  """Discriminators first; then the generators, judged by them; L2 is part of the gradient; rho stays in [0, 1]."""
  method, batch = methods.get(tiny_ugatit), batch_of(tiny_ugatit)
  gen = models.build(tiny_ugatit.gen, 3, where='gen')
  disc = models.build(tiny_ugatit.disc, 1, where='disc')
  state = jax.jit(method.init)(jax.random.key(0), batch)
  stepped, metrics = jax.jit(method.train_step)(state, batch, jax.random.key(1))
  mse = lambda x, label: ((x - label) ** 2).mean()  # noqa: E731
  bce = lambda x, label: -jnp.log(jax.nn.sigmoid(x) if label else jax.nn.sigmoid(-x)).mean()  # noqa: E731
  l1 = lambda x, y: jnp.abs(x - y).mean()  # noqa: E731

  @jax.jit
  def reference(gens, discs, stats, a, b):
    def g(p, x):
      y, out = gen.apply({'params': p}, x, dropout=False, running_stats=False)
      return y, out['cam']['bottleneck']

    def d(p, u, x):
      (y, _), new = disc.apply({'params': p, 'batch_stats': u}, x, running_stats=False, mutable=['batch_stats'])
      assert len(y) == 4  # two discriminators, each with its patches' logits and its map's
      return y, new['batch_stats']

    def disc_loss(discs):
      total, after = 0.0, {}
      for k, real, fake in (('a', a, g(gens['ba'], b)[0]), ('b', b, g(gens['ab'], a)[0])):
        of_real, u = d(discs[k], stats[k], real)
        of_fake, after[k] = d(discs[k], u, fake)
        total += sum(mse(r, 1) + mse(f, 0) for r, f in zip(of_real, of_fake, strict=True))
      return total, after

    def stepped(params, grads):
      adam, grads = optax.adam(1e-3, b1=0.5, b2=0.999), jax.tree.map(lambda g, p: g + 0.1 * p, grads, params)
      return optax.apply_updates(params, adam.update(grads, adam.init(params))[0])

    (loss_d, after), grads = jax.value_and_grad(disc_loss, has_aux=True)(discs)
    new_discs = stepped(discs, grads)

    def gen_loss(gens):
      fake_b, cam_b = g(gens['ab'], a)
      fake_a, cam_a = g(gens['ba'], b)
      same_a, cam_same_a = g(gens['ba'], a)
      same_b, cam_same_b = g(gens['ab'], b)
      adversarial = sum(mse(y, 1) for y in d(new_discs['a'], after['a'], fake_a)[0])
      adversarial += sum(mse(y, 1) for y in d(new_discs['b'], after['b'], fake_b)[0])
      cycle = l1(g(gens['ba'], fake_b)[0], a) + l1(g(gens['ab'], fake_a)[0], b)
      cam = bce(cam_b, 1) + bce(cam_a, 1) + bce(cam_same_a, 0) + bce(cam_same_b, 0)
      return adversarial + 10 * cycle + 10 * (l1(same_a, a) + l1(same_b, b)) + 1000 * cam

    loss_g, grads = jax.value_and_grad(gen_loss)(gens)
    return loss_d, loss_g, new_discs, stepped(gens, grads)

  loss_d, loss_g, discs, gens = reference(
    state.params['gen'], state.params['disc'], state.extra['batch_stats']['disc'], batch['a'], batch['b']
  )
  assert metrics['loss/disc_a'] + metrics['loss/disc_b'] == pytest.approx(float(loss_d), rel=1e-4)
  assert metrics['loss/gen'] == pytest.approx(float(loss_g), rel=1e-4)
  rhos = 0
  for path, ours in jax.tree_util.tree_leaves_with_path(stepped.params):
    theirs = {'gen': gens, 'disc': discs}
    for key in path:
      theirs = theirs[key.key]
    if path[-1].key == 'rho':
      rhos += 1
      assert theirs.min() < 0 or theirs.max() > 0  # it moved
      theirs = np.clip(theirs, 0, 1)
    # Adam's first step is the learning rate along the gradient's sign, so a wrong gradient shows.
    assert np.mean(np.abs(ours - theirs) > 1e-5) < 0.02, path
  assert rhos == 2 * (2 + 2)
  ups = [np.asarray(stepped.params['gen'][d][f'up{i}_norm']['rho']) for d in ('ab', 'ba') for i in (0, 1)]
  assert min(map(np.min, ups)) == 0 and max(map(np.max, ups)) > 0


@pytest.mark.slow
def test_it_trains_from_the_command_and_goes_on(tiny_ugatit, tmp_path):
  tiny_ugatit.update({'steps': 4, 'checkpoint_every': 2, 'eval_every': 4, 'samples': 1})
  train.train(tiny_ugatit, tmp_path / 'run', mesh_spec='data=1', stop_at=2)
  assert train.train(tiny_ugatit, tmp_path / 'run', mesh_spec='data=1') == 0
  assert (tmp_path / 'run' / 'report.html').exists()


def test_what_it_cannot_do_is_said(tiny_ugatit):
  for section, field, value, message in (
    ('gen', 'attention', 'down0=se', 'has its own'),
    ('gen', 'name', 'resnet', 'config.gen.name'),
    ('loss', 'gan', 'none', 'lsgan'),
    ('disc', 'layers', 3, '4 or more'),
    ('data', 'channels_a', 1, 'equal channels'),
  ):
    config = tiny_ugatit.copy_and_resolve_references()
    config[section][field] = value
    with pytest.raises(BadInput, match=message):
      methods.get(config)


def test_the_full_generator_refuses_another_size(tiny_ugatit):
  tiny_ugatit.gen.light = False
  gen = models.build(tiny_ugatit.gen, 3, where='gen')
  switches = {'dropout': False, 'running_stats': False}
  params = jax.eval_shape(lambda: gen.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), **switches))
  with pytest.raises(BadInput, match='of no other'):
    jax.eval_shape(lambda p: gen.apply(p, jnp.zeros((1, 20, 16, 3)), **switches), params)


def test_the_fields_of_any_method_are_its_too(tiny_ugatit):
  """DiffAugment, R1, the gradient penalty and uneven turns are traced into its step; pairs' losses are refused."""
  tiny_ugatit.diffaugment = 'color,translation'
  tiny_ugatit.loss.update({'r1': 1.0, 'gradient_penalty': 1.0})
  tiny_ugatit.optim.update({'adaptive': 0.8, 'gen_every': 2})
  method, batch = methods.get(tiny_ugatit), batch_of(tiny_ugatit)
  state = jax.eval_shape(method.init, jax.random.key(0), batch)
  stepped, metrics = jax.eval_shape(method.train_step, state, batch, jax.random.key(0))
  assert jax.tree.structure(stepped) == jax.tree.structure(state)
  assert {'loss/r1_a', 'loss/gradient_penalty_b', 'disc/accuracy_a'} <= set(metrics)
  tiny_ugatit.loss.laplacian = 1.0
  with pytest.raises(BadInput, match='without pairs'):
    methods.get(tiny_ugatit)


def test_rho_stays_in_its_range_in_any_method():
  """An update of any net that has one: here both its numbers would leave [0, 1]."""
  params = {'gen': {'norm': {'rho': jnp.asarray([0.05, 0.95]), 'scale': jnp.asarray([0.05, 0.95])}}}
  tx = optax.sgd(0.1)
  state = base.State(jnp.zeros((), int), params, {'gen': tx.init(params['gen'])}, {})
  grads = {'norm': {'rho': jnp.asarray([1.0, -1.0]), 'scale': jnp.asarray([1.0, -1.0])}}
  after = base.apply_grads(state, {'gen': tx}, 'gen', grads).params['gen']['norm']
  np.testing.assert_allclose(after['rho'], [0, 1])
  np.testing.assert_allclose(after['scale'], [-0.05, 1.05], rtol=1e-5)


def test_its_nets_learn_from_pairs_too(tiny_ugatit):
  """With the features of its discriminators matched, on two scales."""
  tiny_ugatit.update({'method': 'pix2pix'})
  tiny_ugatit.data.update({'paired': True, 'crop_size': (32, 32)})
  tiny_ugatit.disc.scales = 2
  tiny_ugatit.loss.feature_matching = 10.0
  method, batch = methods.get(tiny_ugatit), batch_of(tiny_ugatit)
  state = jax.eval_shape(method.init, jax.random.key(0), batch)
  _, metrics = jax.eval_shape(method.train_step, state, batch, jax.random.key(1))
  assert 'loss/feature_matching' in metrics
