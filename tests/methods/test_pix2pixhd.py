"""pix2pixHD: published parameter counts, its nets, its schedule, and its update against one written out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.pix2pixhd import use_pix2pixhd
from i2i_jax import fields, methods, models, optim, train
from i2i_jax.errors import BadInput
from i2i_jax.exporting.torch_weights import check_counterpart
from i2i_jax.losses import objectives
from i2i_jax.runs import checkpoint
from i2i_jax.runtime import mesh
from i2i_jax.runtime.describe import describe, parameter_count
from tests.fake import batch_of, flat


def full(local: int):
  config = fields.defaults()
  use_pix2pixhd(config, local)
  return config


def count(net, shape, **switches):
  init = lambda x: net.init(jax.random.key(0), x, running_stats=False, **switches)  # noqa: E731
  return parameter_count(jax.eval_shape(init, jax.ShapeDtypeStruct(shape, jnp.float32))['params'])


def torch_local_enhancer(channels: int, width: int) -> int:
  """What PyTorch's LocalEnhancer adds to the global net, head excluded: 3 blocks, biases everywhere."""
  conv = lambda k, i, o: k * k * i * o + o  # noqa: E731
  encoder = conv(7, channels, width) + conv(3, width, 2 * width)
  return encoder + 6 * conv(3, 2 * width, 2 * width) + conv(3, 2 * width, width) + conv(7, width, 3)


def test_generators_have_the_published_parameters():
  shape = (1, 64, 64, 36)
  coarse = models.build(full(0).gen, 3, where='gen')
  assert count(coarse, shape, dropout=False) == 182_546_755
  head = 7 * 7 * 64 * 3 + 3
  fine = models.build(full(1).gen, 3, where='gen')
  assert count(fine, shape, dropout=False) == 182_546_755 - head + torch_local_enhancer(36, 32)
  assert (coarse.multiple, fine.multiple) == (16, 32)


@pytest.mark.parametrize('scales', [1, 2, 3, 4])
def test_discriminators_have_the_published_parameters_a_scale(scales):
  config = full(0)
  config.disc.scales = scales
  net = models.build(config.disc, 1, where='disc')
  assert count(net, (1, 256, 256, 39)) == scales * 2_801_601


@pytest.fixture
def tiny_hd(tiny):
  """Global net and one local enhancer, two scales, 16x24 px."""
  with tiny.unlocked():
    use_pix2pixhd(tiny, 1)
    tiny.gen.update({'width': 4, 'halvings': 1, 'blocks': 1, 'local_blocks': 1})
    tiny.disc.update({'layers': 1, 'scales': 2})
    tiny.optim.schedule = 'constant'
    tiny.batch_size = 2
  return tiny


def test_a_step_is_the_references(tiny_hd):
  """G first, judged by the D of before: LSGAN over scales and feature matching; then D on the fake of before."""
  method, batch = methods.get(tiny_hd), batch_of(tiny_hd, 2)
  gen, disc = (models.build(tiny_hd[n], 3, where=n) for n in ('gen', 'disc'))
  a, b = batch['a'], batch['b']
  state = jax.jit(method.init)(jax.random.key(0), batch)
  stepped, metrics = jax.jit(method.train_step)(state, batch, jax.random.key(1))

  @jax.jit
  def reference(gen_params, disc_params):
    adam = optax.adam(2e-4, b1=0.5, b2=0.999)
    make = lambda params: gen.apply({'params': params}, a, dropout=False, running_stats=False)[0]  # noqa: E731
    judge = lambda params, b: disc.apply({'params': params}, jnp.concatenate([a, b], -1), running_stats=False)  # noqa: E731

    def gen_loss(params):
      (fakes, fake_out), (_, real_out) = judge(disc_params, make(params)), judge(disc_params, b)
      adversarial = sum(jnp.square(y - 1).mean() for y in fakes)
      matching = sum(
        jnp.abs(fake_out['features'][scale][layer] - real_out['features'][scale][layer]).mean()
        for scale in range(2)
        for layer in range(2)  # n_layers + 1
      )
      return adversarial + 10 * (4 / 2) * (1 / 2) * matching

    def disc_loss(params):
      reals, fakes = judge(params, b)[0], judge(params, make(gen_params))[0]
      return 0.5 * sum(jnp.square(r - 1).mean() + jnp.square(f).mean() for r, f in zip(reals, fakes, strict=True))

    (loss, grads), (disc_value, disc_grads) = (
      jax.value_and_grad(f)(p) for f, p in ((gen_loss, gen_params), (disc_loss, disc_params))
    )
    new_gen = optax.apply_updates(gen_params, adam.update(grads, adam.init(gen_params))[0])
    new_disc = optax.apply_updates(disc_params, adam.update(disc_grads, adam.init(disc_params))[0])
    return new_gen, new_disc, loss, disc_value

  new_gen, new_disc, loss, disc_value = reference(state.params['gen'], state.params['disc'])
  assert metrics['loss/gen'] == pytest.approx(float(loss), rel=1e-5)
  assert metrics['loss/disc'] == pytest.approx(float(disc_value), rel=1e-5)
  assert np.mean(np.abs(flat(stepped.params['gen']) - flat(new_gen)) > 1e-6) < 0.02
  assert np.mean(np.abs(flat(stepped.params['disc']) - flat(new_disc)) > 1e-6) < 0.02


def test_when_a_frozen_part_is_freed_adam_begins_anew_for_all_weights():
  rng = np.random.default_rng(0)
  params = {'coarse': {'w': np.float32(rng.normal(size=3))}, 'head': {'w': np.float32(rng.normal(size=2))}}
  grads = [jax.tree.map(lambda x: np.float32(rng.normal(size=x.shape)), params) for _ in range(4)]
  adam = optax.adam(lambda step: 0.1 / (1 + step), b1=0.5)
  tx = optim.freeze(adam, 'coarse', 2)
  state, plain = tx.init(params), adam.init(params['head'])
  for i, grad in enumerate(grads):
    updates, state = tx.update(grad, state, params)
    if i == 2:  # a new Adam, at the rate that the run has reached
      count = optax.ScaleByScheduleState(plain[1].count)
      plain = (adam.init(params['head'])[0], count)
    expected, plain = adam.update(grad['head'], plain)
    np.testing.assert_allclose(updates['head']['w'], expected['w'], rtol=1e-6)
    # A fresh Adam's first step is its rate along the gradient's sign, whenever it comes; the rate is the step's.
    if i < 2:
      assert not updates['coarse']['w'].any()
    if i == 2:
      np.testing.assert_allclose(updates['coarse']['w'], -0.1 / 3 * np.sign(grad['coarse']['w']), rtol=1e-4)


@pytest.mark.slow
def test_local_enhancers_start_from_a_trained_global_net_and_learn_first(tiny_hd, tmp_path):
  """The coarse run's net and discriminators are taken over; the global net stays for freeze_global_steps."""
  tiny_hd.update({'steps': 2, 'eval_every': 2, 'checkpoint_every': 1, 'samples': 0, 'keep': 9})
  coarse, fine = (tiny_hd.copy_and_resolve_references() for _ in range(2))
  coarse.gen.local, coarse.disc.scales = 0, 2
  fine.disc.scales = 3
  fine.gen.freeze_global_steps = 1
  assert train.train(coarse, tmp_path / 'coarse', mesh_spec='data=1') == 0
  start = {'init_from': tmp_path / 'coarse', 'mesh_spec': 'data=1'}
  assert train.train(fine, tmp_path / 'fine', stop_at=1, **start) == 0
  assert train.train(fine, tmp_path / 'fine', mesh_spec='data=1') == 0
  old = checkpoint.load(tmp_path / 'coarse', mesh.make('data=1')).state.params
  one, two = (checkpoint.load(tmp_path / 'fine', mesh.make('data=1'), step).state.params for step in (1, 2))
  kept = {k: v for k, v in old['gen'].items() if k != 'head'}
  np.testing.assert_array_equal(flat(one['gen']['coarse']), flat(kept))
  assert not np.allclose(flat(two['gen']['coarse']), flat(kept))
  assert not np.allclose(flat(one['gen']['head']), flat(two['gen']['head']))
  # Adam moved each weight by at most the learning rate: the smaller images' discriminators were those of the old run.
  for name in ('discs_0', 'discs_1'):
    assert np.abs(flat(one['disc'][name]) - flat(old['disc'][name])).max() < 3e-4


def test_what_cannot_be_is_refused(tiny_hd):
  tiny_hd.gen.freeze_global_steps = 3
  tiny_hd.gen.local = 0
  with pytest.raises(BadInput, match=r'config\.gen\.freeze_global_steps = 3: only pix2pixhd'):
    methods.get(tiny_hd)
  tiny_hd.gen.update({'freeze_global_steps': tiny_hd.steps, 'local': 1})
  with pytest.raises(BadInput, match='the global net would never learn'):
    methods.get(tiny_hd)
  tiny_hd.gen.update({'freeze_global_steps': 0, 'local': 1, 'width': 3})
  with pytest.raises(BadInput, match=r'config\.gen\.width = 3 cannot be halved'):
    methods.get(tiny_hd)
  tiny_hd.gen.width = 4
  tiny_hd.disc.scales = 5
  with pytest.raises(BadInput, match=r'config\.disc\.scales = 5 must be 1 to 4'):
    methods.get(tiny_hd)
  tiny_hd.disc.scales = 1
  with pytest.raises(BadInput, match=r'config\.disc\.padding = 2 has no counterpart'):
    check_counterpart(tiny_hd.disc, 'disc')
  net = models.build(tiny_hd.gen, 3, where='gen')
  with pytest.raises(BadInput, match='multiples of 4, not 6x8'):
    jax.eval_shape(
      lambda x: net.init(jax.random.key(0), x, dropout=False, running_stats=False), jnp.zeros((1, 6, 8, 3))
    )


def test_describe_lists_parts_and_each_scales_logits(tiny_hd):
  lines = describe(methods.get(tiny_hd), tiny_hd).splitlines()
  assert any(line.split()[0] == 'coarse' for line in lines if line)
  assert sum('output' in line for line in lines) == 1 + 2
  assert any(line.startswith('gen: not for export_torch: config.gen.') for line in lines)
  assert any(line.startswith('disc: not for export_torch: config.disc.') for line in lines)


def test_an_objective_over_scales_is_averaged_each_and_added_up(tiny_hd):
  """The logits of a pyramid come as losses take them, the full size first."""
  disc = models.build(tiny_hd.disc, 1, where='disc')
  x = jax.random.normal(jax.random.key(0), (1, 16, 24, 6))
  variables = disc.init(jax.random.key(1), x, running_stats=False)
  y, out = disc.apply(variables, x, running_stats=False)
  assert [leaf.shape[1:3] for leaf in y] == [(11, 15), (7, 9)]
  assert [len(features) for features in out['features']] == [2, 2]
  expected = sum(float(jnp.square(leaf - 1).mean()) for leaf in y)
  assert float(objectives.gan('lsgan').gen(y)) == pytest.approx(expected, rel=1e-6)
