"""pix2pix's update against the same update written out step by step, as the reference orders it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from i2i_jax import methods, models
from i2i_jax.losses import objectives
from tests.fake import batch_of, flat


def test_a_step_is_the_references(tiny):
  """D first, on half its loss and the shared fake; then G, judged by the updated D."""
  with tiny.unlocked():
    tiny.gen.dropout = 0.0  # so that no draw has to be shared
    tiny.optim.schedule = 'constant'
  method = methods.get(tiny)
  gen, disc = (models.build(tiny[n], 3, where=n) for n in ('gen', 'disc'))
  batch = batch_of(tiny)
  a, b = batch['a'], batch['b']
  state = method.init(jax.random.key(0), batch)
  stepped, metrics = jax.jit(method.train_step)(state, batch, jax.random.key(1))

  def run_gen(params):
    return gen.apply({'params': params}, a, dropout=False, running_stats=False, mutable=['batch_stats'])[0][0]

  def judge(params, b):
    ab = jnp.concatenate([a, b], -1)
    return disc.apply({'params': params}, ab, running_stats=False, mutable=['batch_stats'])[0][0]

  @jax.jit
  def reference(gen_params, disc_params):
    adam = optax.adam(2e-4, b1=0.5, b2=0.999)
    fake_b = run_gen(gen_params)

    def disc_loss(params):
      real, fake = judge(params, b), judge(params, fake_b)
      return 0.5 * (objectives.bce(real, 1.0).mean() + objectives.bce(fake, 0.0).mean())

    updates, _ = adam.update(jax.grad(disc_loss)(disc_params), adam.init(disc_params))
    new_disc = optax.apply_updates(disc_params, updates)

    def gen_loss(params):
      fake_b = run_gen(params)
      return objectives.bce(judge(new_disc, fake_b), 1.0).mean() + 100 * jnp.abs(fake_b - b).mean()

    loss, grads = jax.value_and_grad(gen_loss)(gen_params)
    updates, _ = adam.update(grads, adam.init(gen_params))
    return optax.apply_updates(gen_params, updates), new_disc, loss, disc_loss(disc_params)

  new_gen, new_disc, gen_loss, disc_loss = reference(state.params['gen'], state.params['disc'])
  assert metrics['loss/gen'] == pytest.approx(float(gen_loss), rel=1e-5)
  assert metrics['loss/disc'] == pytest.approx(float(disc_loss), rel=1e-5)
  # Adam's first step moves each weight by the learning rate along its gradient's sign, so a wrong gradient shows.
  for ours, theirs in ((stepped.params['gen'], new_gen), (stepped.params['disc'], new_disc)):
    assert np.mean(np.abs(flat(ours) - flat(theirs)) > 1e-6) < 0.01
  assert stepped.step == 1


def test_batch_statistics_run_in_both_nets(tiny):
  method, batch = methods.get(tiny), batch_of(tiny)
  state = method.init(jax.random.key(0), batch)
  stepped, _ = jax.jit(method.train_step)(state, batch, jax.random.key(1))
  for net in ('gen', 'disc'):
    assert not np.allclose(flat(state.extra['batch_stats'][net]), flat(stepped.extra['batch_stats'][net]))


@pytest.mark.parametrize('objective', [*objectives.OBJECTIVES, 'none'])
def test_every_objective_trains_and_lowers_l1(tiny, objective):
  tiny.loss.gan = objective
  tiny.optim.update({'lr': 2e-2, 'schedule': 'constant'})
  method, batch = methods.get(tiny), batch_of(tiny)
  state = method.init(jax.random.key(0), batch)
  assert ('disc' in state.params) == (objective != 'none')
  step = jax.jit(method.train_step)
  history = []
  for i in range(15):
    state, metrics = step(state, batch, jax.random.key(i))
    history.append({k: float(v) for k, v in metrics.items()})
  assert all(np.isfinite(list(h.values())).all() for h in history)
  assert history[-1]['loss/l1'] < 0.8 * history[0]['loss/l1']
  assert ('loss/gradient_penalty' in history[0]) == (objective == 'wgan-gp')


def test_the_gradient_penalty_reaches_the_discriminator(tiny):
  tiny.loss.gan = 'wgan-gp'
  batch = batch_of(tiny)
  after = []
  for weight in (0.0, 10.0):
    tiny.loss.gradient_penalty = weight
    method = methods.get(tiny)
    state = method.init(jax.random.key(0), batch)
    after.append(jax.jit(method.train_step)(state, batch, jax.random.key(1))[0].params['disc'])
  assert not np.allclose(flat(after[0]), flat(after[1]))


def test_translation_in_test_mode_is_what_the_config_says(tiny):
  """Batch or running statistics, dropout on or off; and never one image's output by its neighbours."""
  with tiny.unlocked():
    tiny.gen.update({'depth': 6, 'max_width': 8})
    tiny.data.crop_size = (64, 64)
  batch = batch_of(tiny, 3)

  def outputs(batch_stats, dropout, seed, images):
    tiny.test.update({'batch_stats': batch_stats, 'dropout': dropout})
    method = methods.get(tiny)
    state = jax.jit(method.init)(jax.random.key(0), batch)
    return np.asarray(jax.jit(method.translators['ab'].run)(state, images, jax.random.key(seed)))

  a = batch['a']
  still = outputs('batch', False, 1, a)
  np.testing.assert_array_equal(still, outputs('batch', False, 2, a))
  assert not np.allclose(still, outputs('batch', True, 1, a))
  assert not np.allclose(outputs('batch', True, 1, a), outputs('batch', True, 2, a))
  assert not np.allclose(still, outputs('running', False, 1, a))
  np.testing.assert_allclose(still[:1], outputs('batch', False, 1, a[:1]), atol=1e-5)


def test_the_average_of_the_weights_translates(tiny):
  tiny.ema = 0.5
  method, batch = methods.get(tiny), batch_of(tiny)
  start = method.init(jax.random.key(0), batch)
  state, _ = jax.jit(method.train_step)(start, batch, jax.random.key(1))
  expected = 0.5 * flat(start.params['gen']) + 0.5 * flat(state.params['gen'])
  np.testing.assert_allclose(flat(state.extra['ema']), expected, atol=1e-6)
  # What translates is the average: the weights themselves do not matter then.
  other = state.replace(params={**state.params, 'gen': start.params['gen']})
  a, rng = batch['a'], jax.random.key(2)
  np.testing.assert_array_equal(
    method.translators['ab'].run(state, a, rng), method.translators['ab'].run(other, a, rng)
  )


def test_channels_of_input_and_target_may_differ(tiny):
  tiny.data.update({'channels_a': 1, 'channels_b': 5})
  method, batch = methods.get(tiny), batch_of(tiny)
  state, _ = jax.jit(method.train_step)(method.init(jax.random.key(0), batch), batch, jax.random.key(1))
  assert method.translators['ab'].run(state, batch['a'], jax.random.key(0)).shape == (8, 16, 24, 5)
