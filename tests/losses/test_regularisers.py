"""Penalties, feature matching, DiffAugment and the ratio of updates: formulas, and what they do in both methods."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from i2i_jax import config, methods, optim
from i2i_jax.errors import BadInput
from i2i_jax.losses import diffaugment, objectives, regularisers
from i2i_jax.methods import base
from tests.fake import batch_of, flat


def normal(seed, *shape):
  return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.fixture(params=['pix2pix', 'cyclegan'])
def small(tiny, request):
  """Each method in turn, on 16x24 px, without draws of its own."""
  tiny.method = request.param
  tiny.data.paired = request.param == 'pix2pix'
  tiny.gen.update({'depth': 1, 'width': 3, 'norm': 'instance', 'dropout': 0.0})
  tiny.disc.update({'width': 3, 'norm': 'instance'})
  tiny.optim.schedule = 'constant'
  tiny.update({'pool': 0, 'batch_size': 2})
  tiny.loss.gan = 'lsgan'
  return tiny


def stepper(config):
  """The jitted step and a fresh state."""
  method, batch = methods.get(config), batch_of(config, 2)
  state = jax.jit(method.init)(jax.random.key(0), batch)
  step = jax.jit(method.train_step)
  return (lambda state, i=0: step(state, batch, jax.random.key(i))), state


def moved(old, new, net):
  return not np.array_equal(flat(old.params[net]), flat(new.params[net]))


# ------------------------------------------------------------------------------------------- formulas


def test_r1_is_half_the_mean_squared_gradient_of_all_logits_of_an_image():
  real, w = normal(0, 4, 5, 6, 2), normal(1, 5, 6, 2)

  def disc(x):  # two scales of logits, quadratic in x: the gradient is 2 x w + w
    return [jnp.square(x) * w[None], jnp.einsum('bhwc,hwc->b', x, w)]

  expected = 0.5 * np.mean(np.square(2 * np.asarray(real) * np.asarray(w) + np.asarray(w)).sum((1, 2, 3)))
  assert float(regularisers.r1(disc, real)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(('disc_every', 'times'), [(1, 4), (2, 2), (4, 1), (3, 4)])
def test_lazy_r1_comes_each_nth_step_with_n_times_the_weight(tiny, disc_every, times):
  """`times` is how many updates of the discriminator there are from one R1 to the next."""
  tiny.loss.update({'r1': 0.5, 'r1_every': 4})
  tiny.optim.disc_every = disc_every
  real, disc = normal(0, 2, 3, 3, 1), lambda x: jnp.square(x)
  values = []
  for step in range(8):
    loss, metrics = jax.jit(lambda step: regularisers.penalties(tiny, disc, real, real, jax.random.key(0), step))(
      jnp.asarray(step)
    )
    assert float(loss) == pytest.approx(0.5 * times * float(metrics['loss/r1']))
    values.append(float(metrics['loss/r1']))
  assert [value > 0 for value in values] == [True, False, False, False] * 2
  assert values[0] == pytest.approx(float(regularisers.r1(disc, real)))
  grad = jax.grad(
    lambda w: regularisers.penalties(tiny, lambda x: w * x, real, real, jax.random.key(0), jnp.zeros((), int))[0]
  )
  assert float(grad(3.0)) == pytest.approx(0.5 * times * 3 * 9, rel=1e-5)  # d/dw of w^2 / 2 by 9 pixels


@pytest.mark.parametrize(
  ('gan', 'weight', 'expected'), [('vanilla', None, 0), ('wgan-gp', None, 10), ('hinge', 2.5, 2.5)]
)
def test_the_gradient_penalty_applies_where_it_is_set(tiny, gan, weight, expected):
  tiny.loss.gan = gan
  if weight is not None:
    tiny.loss.gradient_penalty = weight
  real, fake = normal(0, 2, 3, 3, 1), normal(1, 2, 3, 3, 1)
  loss, metrics = regularisers.penalties(tiny, lambda x: 3 * x, real, fake, jax.random.key(0), 0)
  assert ('loss/gradient_penalty' in metrics) == (expected > 0)
  assert float(loss) == pytest.approx(expected * (3 * 3 - 1) ** 2, rel=1e-5)  # a slope of 3 at each of 9 pixels


@pytest.mark.parametrize('scales', [1, 3])
def test_feature_matching_is_pix2pixhds(scales):
  real, fake = ([[normal(10 * s + k + i, 2, 4, 3, 5) for i in range(4)] for s in range(scales)] for k in (0, 100))
  expected = sum(
    (4 / 4) / scales * np.abs(np.asarray(f) - np.asarray(r)).mean()
    for fakes, reals in zip(fake, real, strict=True)
    for f, r in zip(fakes, reals, strict=True)
  )
  if scales == 1:
    real, fake = real[0], fake[0]
  assert float(regularisers.feature_matching(real, fake)) == pytest.approx(expected, rel=1e-5)
  grads = jax.grad(lambda r, f: regularisers.feature_matching(r, f), (0, 1))(real, fake)
  assert not flat(grads[0]).any() and flat(grads[1]).all()


def test_accuracy_is_the_share_of_patches_on_the_right_side(tiny):
  real, fake = (
    [jnp.array([[0.6, 0.4, 0.9, -1.0]]), jnp.array([[2.0]])],
    [jnp.array([[0.4, 0.1, 0.6, -1.0]]), jnp.array([[2.0]])],
  )
  tiny.loss.gan = 'lsgan'
  assert regularisers.accuracies(tiny, real, fake) == pytest.approx(((0.5 + 1) / 2, (0.75 + 0) / 2))
  tiny.loss.gan = 'hinge'
  assert regularisers.accuracies(tiny, real, fake) == pytest.approx(((0.75 + 1) / 2, (0.25 + 0) / 2))


# ------------------------------------------------------------------------------------------- DiffAugment


def test_color_is_an_affine_map_of_each_image_with_the_published_ranges():
  x = normal(0, 64, 6, 5, 3)
  y = np.asarray(diffaugment.color(x, jax.random.key(0)))
  b, s, c = np.asarray(jax.random.uniform(jax.random.key(0), (3, 64, 1, 1, 1)))
  z = np.asarray(x) + b - 0.5
  z = (z - z.mean(-1, keepdims=True)) * 2 * s + z.mean(-1, keepdims=True)
  z = (z - z.mean((1, 2, 3), keepdims=True)) * (c + 0.5) + z.mean((1, 2, 3), keepdims=True)
  np.testing.assert_allclose(y, z, atol=1e-5)
  assert np.ptp(b) > 0.9 and np.ptp(s) > 0.9 and np.ptp(c) > 0.9


def test_translation_moves_each_image_by_up_to_an_eighth_and_lets_zeros_in():
  x = np.asarray(normal(1, 200, 16, 24, 2))
  y = np.asarray(diffaugment.translation(jnp.asarray(x), jax.random.key(0)))
  padded = np.pad(x, ((0, 0), (2, 2), (3, 3), (0, 0)))
  shifts = []
  for i in range(len(x)):
    found = [(r, c) for r in range(5) for c in range(7) if np.array_equal(padded[i, r : r + 16, c : c + 24], y[i])]
    assert len(found) == 1
    shifts.append(found[0])
  assert {r for r, _ in shifts} == set(range(5))
  assert {c for _, c in shifts} == set(range(7))


def test_cutout_hides_a_rectangle_of_half_of_each_side():
  x = jnp.ones((300, 8, 12, 2))
  hidden = 1 - np.asarray(diffaugment.cutout(x, jax.random.key(0)))
  rows, cols = hidden.any((2, 3)).sum(1), hidden.any((1, 3)).sum(1)
  np.testing.assert_array_equal(hidden.sum((1, 2, 3)), 2 * rows * cols)  # a rectangle, the same in each channel
  assert (rows.min(), rows.max(), cols.min(), cols.max()) == (2, 4, 3, 6)
  assert hidden[:, 0].any() and hidden[:, -1].any() and hidden[:, :, 0].any() and hidden[:, :, -1].any()


def test_one_key_is_one_transform_for_condition_and_image_and_has_gradients():
  x, policy = normal(2, 3, 16, 16, 3), 'color,translation,cutout'
  a, b = (diffaugment.augment(x, policy, jax.random.key(k)) for k in (0, 0))
  np.testing.assert_array_equal(a, b)
  assert not np.allclose(a, diffaugment.augment(x, policy, jax.random.key(1)))
  assert diffaugment.augment(x, '', jax.random.key(0)) is x
  grad = jax.grad(lambda x: diffaugment.augment(x, policy, jax.random.key(0)).sum())(x)
  assert np.isfinite(grad).all() and np.abs(grad).max() > 0
  with pytest.raises(BadInput, match="did you mean 'color'"):
    diffaugment.augment(x, 'colour', jax.random.key(0))


def test_augmentation_reaches_both_nets_real_and_fake(small, monkeypatch):
  """Each image that a discriminator sees is augmented; a pair's two images by the same draws."""
  keys = []
  original = diffaugment.augment

  def noted(x, policy, rng):
    keys.append(rng)
    return original(x, policy, rng)

  monkeypatch.setattr(diffaugment, 'augment', noted)
  small.loss.reconstruction_weight = 0.0  # the generator hears of the augmentation through the discriminator
  small.diffaugment = 'color,translation,cutout'
  step, state = stepper(small)
  augmented, _ = step(state)
  # pix2pix: two images of a pair, fake and real for D, fake for G. cyclegan: two fakes for G, two of each for D.
  assert len(keys) == 6
  small.diffaugment = ''
  plain, _ = stepper(small)[0](state)
  assert not np.allclose(flat(augmented.params['gen']), flat(plain.params['gen']))
  assert not np.allclose(flat(augmented.params['disc']), flat(plain.params['disc']))
  if small.method == 'pix2pix':
    assert [a is b for a, b in zip(keys[:6:2], keys[1:6:2], strict=True)] == [True] * 3
    assert len({id(k) for k in keys[:6]}) == 3


# ------------------------------------------------------------------------------------------- in both methods


def test_penalties_reach_the_discriminators_alone(small):
  step, state = stepper(small)
  plain, before = step(state)
  assert 'loss/r1' not in ''.join(before)
  for field in ('r1', 'gradient_penalty'):
    small.loss[field] = 3.0
    penalised, metrics = stepper(small)[0](state)
    names = [name for name in metrics if name.startswith(f'loss/{field}')]
    assert len(names) == (1 if small.method == 'pix2pix' else 2)
    assert all(float(metrics[name]) > 0 for name in names)
    assert not np.allclose(flat(plain.params['disc']), flat(penalised.params['disc']))
    for name in ('', '_a', '_b'):
      if f'loss/disc{name}' in metrics:
        extra = float(metrics[f'loss/disc{name}']) - float(before[f'loss/disc{name}'])
        assert extra == pytest.approx(3 * float(metrics[f'loss/{field}{name}']), rel=1e-3)
    small.loss[field] = 0.0


def test_updates_come_in_the_ratio_asked_for_and_count_only_when_made(small):
  small.optim.update({'gen_every': 2, 'disc_every': 3})
  step, state = stepper(small)
  turns = {'gen': [], 'disc': []}
  for i in range(6):
    new, _ = step(state, i)
    for net, seen in turns.items():
      seen.append(moved(state, new, net))
    state = new
  assert turns == {'gen': [True, False] * 3, 'disc': [True, False, False] * 2}
  assert {net: int(optax.tree.get(state.opt[net][0], 'count')) for net in turns} == {'gen': 3, 'disc': 2}
  # The rate follows the steps of the run.
  assert [int(state.opt[net][1].count) for net in turns] == [6, 6]


def test_a_skipped_update_leaves_adam_as_it_was():
  rng = np.random.default_rng(0)
  params = {'w': np.float32(rng.normal(size=4))}
  grads = [{'w': np.float32(rng.normal(size=4))} for _ in range(5)]
  tx = optax.adam(lambda step: 0.1 * (1 + step), b1=0.5)
  state = base.State(jnp.zeros((), int), {'gen': params}, {'gen': tx.init(params)}, {})
  for i, grad in enumerate(grads):
    state = base.apply_grads(state, {'gen': tx}, 'gen', grad, jnp.asarray(i % 2 == 0))
  adam, mine = optax.scale_by_adam(b1=0.5), params
  moments = adam.init(params)
  for i in (0, 2, 4):
    updates, moments = adam.update(grads[i], moments)
    mine = jax.tree.map(lambda p, u, i=i: p - 0.1 * (1 + i) * u, mine, updates)
  np.testing.assert_allclose(state.params['gen']['w'], mine['w'], rtol=1e-5)


def test_the_discriminators_pass_while_they_are_too_good(small):
  """The accuracy of the very step decides: with a threshold below it they stay, above it they move."""
  small.optim.adaptive = 1.0
  step, state = stepper(small)
  new, metrics = step(state)
  accuracies = [float(v) for name, v in metrics.items() if name.startswith('disc/accuracy')]
  accuracy = sum(accuracies) / len(accuracies)
  assert 0 < accuracy < 1
  assert moved(state, new, 'disc')
  for threshold, moves in ((accuracy - 1e-3, False), (accuracy + 1e-3, True)):
    small.optim.adaptive = threshold
    new, _ = stepper(small)[0](state)
    assert moved(state, new, 'disc') is moves
    assert moved(state, new, 'gen')


def test_the_weaker_side_is_updated_again(small):
  """Up to `repeat` times, inside the step: Adam counts the updates, the learning rate the step."""
  net, other = ('disc', 'gen') if small.method == 'pix2pix' else ('gen', 'disc')
  small.optim.update(
    {'repeat': 3, **({'adaptive': 1.0, 'weak': 0.999} if net == 'disc' else {'adaptive': 1e-6, 'weak': 0.0})}
  )
  step, state = stepper(small)
  state, metrics = step(state)
  assert (int(metrics[f'repeats/{net}']), int(metrics[f'repeats/{other}'])) == (3, 0)
  assert int(optax.tree.get(state.opt[net][0], 'count')) == 4
  assert [int(state.opt[name][1].count) for name in ('gen', 'disc')] == [1, 1]
  assert int(state.step) == 1


def test_several_scales_train_in_both_methods(small):
  small.disc.scales = 2
  step, state = stepper(small)
  state, metrics = step(state)
  assert all(np.isfinite(float(v)) for v in metrics.values())
  discs = state.params['disc'] if small.method == 'pix2pix' else state.params['disc']['a']
  assert sorted(discs) == ['discs_0', 'discs_1']


@pytest.mark.parametrize('order', ['paper', 'disc_first', 'gen_first'])
def test_whose_turn_is_first_decides_which_discriminator_judges(tiny, order):
  """A discriminator that learns fast: the generator's loss is by the D of after, or of before."""
  tiny.order = order
  tiny.optim.update({'disc_lr_ratio': 500.0, 'schedule': 'constant'})
  tiny.batch_size = 2
  step, state = stepper(tiny)
  _, metrics = step(state)
  tiny.optim.disc_lr_ratio = 0.0
  _, still = stepper(tiny)[0](state)
  assert (float(metrics['loss/gan']) == pytest.approx(float(still['loss/gan']), rel=1e-5)) == (order == 'gen_first')


@pytest.mark.parametrize(
  ('fields', 'words'),
  [
    ({'optim.adaptive': 0.8, 'loss.gan': 'wgan-gp'}, 'the critic of wgan-gp has no accuracy'),
    ({'optim.repeat': 2}, 'the weaker side is known by config.optim.adaptive = 0.0'),
    ({'order': 'disc_frist'}, "config.order = 'disc_frist' is not known"),
  ],
)
def test_what_cannot_be_meant_is_refused(small, fields, words):
  small.update_from_flattened_dict(fields)
  with pytest.raises(BadInput) as error:
    methods.get(small)
  assert words in str(error.value)


def test_a_mean_logit_is_over_scales_of_means():
  assert float(objectives.mean_logit([jnp.ones((1, 4, 4, 1)), jnp.zeros((1, 2, 2, 1))])) == pytest.approx(0.5)


def test_select_lets_only_the_rates_count_move():
  tx = optim.adam(type('c', (), {'b1': 0.5, 'b2': 0.9}), lambda step: 0.1)
  params = {'w': jnp.ones(2)}
  old = tx.init(params)
  _, new = tx.update({'w': jnp.ones(2)}, old)
  kept = optim.select(jnp.asarray(False), new, old)
  assert (int(kept[0].count), int(kept[1].count)) == (0, 1)
  assert not kept[0].mu['w'].any()


def test_the_fields_can_be_set_on_the_command_line():
  spec = '--config=pix2pix:size=64'
  loaded = config.load([spec, '--config.loss.gradient_penalty=1', '--config.diffaugment=color,cutout'])
  assert regularisers.penalty_weight(loaded) == 1.0
  assert loaded.diffaugment == 'color,cutout'
  assert regularisers.penalty_weight(config.load([spec])) == 0
  assert regularisers.penalty_weight(config.load([spec, '--config.loss.gan=wgan-gp'])) == 10
  assert config.from_dict(config.to_dict(config.load([spec]))).loss.gradient_penalty is None
