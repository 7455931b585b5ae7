"""ADA: what each transform does, that pairs move together, what p follows, and that nets learn from it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from i2i_jax import methods
from i2i_jax.data import images
from i2i_jax.errors import BadInput
from i2i_jax.losses import ada, regularisers
from i2i_jax.runtime import mesh
from tests.fake import batch_of, flat
from tests.small import batch_of as batch_of_shape
from tests.small import small


def smooth(size=(32, 32), count=8, channels=3, seed=0):
  """Pictures without much detail, in [-1, 1]."""
  rng = np.random.default_rng(seed)
  coarse = rng.integers(0, 256, (count, 5, 5, channels), np.uint8)
  return np.stack([images.to_float(images.resize(x, size)) for x in coarse])


def noise(*shape, seed=0):
  return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


# ------------------------------------------------------------------------------------------- places


AUGMENT = jax.jit(ada.augment, static_argnames='kinds')


def test_a_probability_of_zero_changes_nothing():
  pair, key = [noise(8, 16, 24, 3), noise(8, 16, 24, 1, seed=1)], jax.random.key(0)
  for x, y in zip(pair, AUGMENT(pair, 0.0, key), strict=True):
    np.testing.assert_array_equal(x, y)
  for x, y in zip(pair, AUGMENT(pair, 1e-9, key), strict=True):  # all is done, and nothing drawn
    np.testing.assert_allclose(x, y, atol=1e-5)
  assert not np.allclose(pair[0], AUGMENT(pair, 1.0, key)[0])


def test_mirrors_quarter_turns_and_whole_pixels_are_exact():
  x = noise(8, 12, 12, 2)
  side = 1 - 2 * (jnp.arange(8) % 2)
  found = np.asarray(ada.placed(x, ada.scaled(side, 1)))
  np.testing.assert_array_equal(found[1::2], x[1::2, :, ::-1])
  np.testing.assert_array_equal(found[::2], x[::2])
  for turns in range(-1, 5):
    found = ada.placed(x, ada.quarters(jnp.full(8, turns)))
    np.testing.assert_array_equal(found, np.rot90(x, turns, (1, 2)))
  right, down = jnp.arange(8.0) - 4, jnp.arange(8.0)[::-1] * 3  # beyond the edge and back again
  found = np.asarray(ada.placed(x, ada.shifted(right, down)))
  padded = np.pad(x, ((0, 0), (24, 24), (24, 24), (0, 0)), 'reflect')
  for i in range(8):
    top, left = 24 - int(down[i]), 24 - int(right[i])
    np.testing.assert_array_equal(found[i], padded[i, top : top + 12, left : left + 12])


def by_scipy(x, inverse):
  """One image [H, W, C] by SciPy's splines."""
  centre = (np.array(x.shape[:2]) - 1) / 2
  rows = np.asarray(inverse, np.float64)[[1, 0]]  # of (y, x) by (x, y, 1)
  matrix, offset = rows[:, [1, 0]], rows[:, 2]
  planes = [
    ndimage.affine_transform(plane, matrix, centre - matrix @ centre + offset, order=3, mode='mirror')
    for plane in np.moveaxis(x, -1, 0)
  ]
  return np.stack(planes, -1)


@pytest.mark.parametrize('size', [(32, 32), (24, 40)])
def test_any_matrix_moves_pixels_as_scipy_does(size):
  x = smooth(size)
  inverse = ada.geometry(jax.random.key(1), 8, size, 1.0)
  found = np.asarray(ada.placed(x, inverse))
  for ours, before, matrix in zip(found, x, inverse, strict=True):
    expected = by_scipy(before, matrix)
    assert np.abs(ours - expected).mean() < 0.01  # of a range of 2
    assert np.abs(before - expected).mean() > 0.1


def test_the_matrices_are_put_together_in_the_papers_order(monkeypatch):
  """A mirror, a quarter turn, a shift, a scale, a turn, a stretch, a turn and a shift, inverted each."""
  draws = iter([1, 1, np.array([[0.1, -0.05]]), 2.0, 0.3, 1.5, -0.4, np.array([[0.02, 0.03]])])

  def drawer(rng, count, p):
    return lambda *args, **kwargs: jnp.asarray(next(draws)).reshape(1, *kwargs.get('shape', ()))

  monkeypatch.setattr(ada, 'drawer', drawer)
  found = np.asarray(ada.geometry(jax.random.key(0), 1, (40, 80), 1.0))[0]

  def turn(angle):
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])

  def shift(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])

  done = [np.diag([-1, 1, 1]), turn(-np.pi / 2), shift(8, -2), np.diag([2, 2, 1])]
  done += [turn(-0.3), np.diag([1.5, 1 / 1.5, 1]), turn(0.4), shift(1.6, 1.2)]
  forward = np.linalg.multi_dot(done[::-1])  # the first is done first
  np.testing.assert_allclose(np.linalg.inv(forward), found, atol=1e-5)


def test_blits_are_the_papers():
  inverse = np.asarray(ada.geometry(jax.random.key(0), 4000, (40, 80), 1.0, 'b'))
  turn, shift = inverse[:, :2, :2], inverse[:, :2, 2]
  places, counts = np.unique(turn.reshape(-1, 4), axis=0, return_counts=True)
  assert len(places) == 8 and np.abs(counts / 4000 - 1 / 8).max() < 0.02  # mirrored or not, by four turns
  np.testing.assert_array_equal(np.abs(np.linalg.det(turn)), 1)
  # From the centre to where the shift leads: shifts are drawn before they are turned.
  shift = np.einsum('bji,bj->bi', turn, shift)
  np.testing.assert_array_equal(shift, np.round(shift))
  assert np.abs(shift).max(0).tolist() == [10, 5]
  assert abs((shift[:, 1] == 2).mean() - 0.1) < 0.02


def test_geometry_is_the_papers():
  inverse = np.asarray(ada.geometry(jax.random.key(0), 4000, (40, 80), 1.0, 'g'))
  part = inverse[:, :2, :2].astype(np.float64)
  logs = np.log2(np.linalg.svd(part, compute_uv=False))
  assert abs(logs.mean(1).std() - 0.2) < 0.01  # the scale of both sides
  assert abs(np.sqrt((np.diff(logs) ** 2).mean()) - 2 * 0.2) < 0.02  # one side by the other: stretch squared
  angles = np.arctan2(part[:, 1, 0] - part[:, 0, 1], part[:, 0, 0] + part[:, 1, 1])
  assert np.abs(np.histogram(angles, 8, (-np.pi, np.pi))[0] / 4000 - 1 / 8).max() < 0.03
  shift = np.linalg.solve(part, inverse[:, :2, 2:].astype(np.float64))[..., 0]
  np.testing.assert_allclose(shift.std(0), [0.125 * 80, 0.125 * 40], rtol=0.05)


def test_each_transform_comes_with_its_probability():
  p = 0.3
  inverse = np.asarray(ada.geometry(jax.random.key(0), 8000, (64, 64), p, 'b'))
  assert abs((np.linalg.det(inverse) < 0).mean() - p / 2) < 0.015
  assert abs((inverse[:, 0, 1] != 0).mean() - p / 2) < 0.015  # an odd number of quarter turns
  inverse = np.asarray(ada.geometry(jax.random.key(1), 8000, (64, 64), p, 'g'))
  part = inverse[:, :2, :2]
  assert abs((np.abs(part[:, 0, 1]) > 1e-6).mean() - p) < 0.015  # a turn before, after or both
  assert abs((np.abs(np.linalg.det(part) - 1) > 1e-4).mean() - p) < 0.015
  assert abs((inverse[:, 0, 2] != 0).mean() - p) < 0.015
  _, factor, bias, _, _ = parts(np.asarray(ada.colours(jax.random.key(2), 8000, p)))
  assert abs((np.abs(bias) > 1e-6).mean() - p) < 0.015
  assert abs((factor < 0).mean() - p / 2) < 0.015


# ------------------------------------------------------------------------------------------- colours


def parts(colour):
  """What hand-written formulas say of [B, 4, 4]: along gray (1, 1, 1) a factor and a bias, across it a turn.

  Returns what is mixed of the two, the factor, the bias before it, and the turn's factor and angle.
  """
  gray, one, other = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])
  basis = np.stack([gray, one, other])
  inner = np.einsum('ij,bjk,lk->bil', basis, colour[:, :3, :3].astype(np.float64), basis)
  mixed = np.abs(inner[:, 0, 1:]).max() + np.abs(inner[:, 1:, 0]).max()
  factor, around = inner[:, 0, 0], inner[:, 1:, 1:]
  bias = (colour[:, :3, 3] @ gray) / (np.sqrt(3) * factor)
  np.testing.assert_allclose(around[:, 0, 0], around[:, 1, 1], atol=1e-5)  # a turn, no mirror
  np.testing.assert_allclose(around[:, 0, 1], -around[:, 1, 0], atol=1e-5)
  return mixed, factor, bias, np.hypot(around[:, 0, 0], around[:, 1, 0]), np.arctan2(around[:, 1, 0], around[:, 0, 0])


def test_colours_are_the_papers():
  mixed, factor, bias, vivid, angle = parts(np.asarray(ada.colours(jax.random.key(0), 4000, 1.0)))
  assert mixed < 1e-5
  assert abs(bias.std() - 0.2) < 0.01 and abs(bias.mean()) < 0.01
  assert abs(np.log2(np.abs(factor)).std() - 0.5) < 0.02
  assert abs((factor < 0).mean() - 0.5) < 0.03
  assert abs(np.log2(vivid / np.abs(factor)).std() - 1) < 0.05
  assert np.abs(np.histogram(angle, 8, (-np.pi, np.pi))[0] / 4000 - 1 / 8).max() < 0.03


def test_colours_by_hand():
  """Half the contrast after a brightness of 0.2; then a third of a turn of the hue, which takes red to green."""
  x = noise(1, 4, 5, 3)
  permuted = 0.5 * np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
  colour = np.zeros((1, 4, 4), np.float32)
  colour[0, :3, :3], colour[0, :3, 3], colour[0, 3, 3] = permuted, 0.1, 1
  np.testing.assert_allclose(ada.coloured(x, jnp.asarray(colour)), 0.5 * x[..., [2, 0, 1]] + 0.1, atol=1e-6)
  np.testing.assert_allclose(ada.coloured(x[..., :1], jnp.asarray(colour)), 0.5 * x[..., :1] + 0.1, atol=1e-6)
  np.testing.assert_array_equal(ada.coloured(x[..., :2], jnp.asarray(colour)), x[..., :2])


# ------------------------------------------------------------------------------------------- pairs


def test_those_of_a_pair_move_together():
  """Place by place and colour by colour, whatever their channels; each pair by draws of its own."""
  gray, wide, key = smooth(count=4, channels=1), smooth(count=4, channels=5), jax.random.key(0)
  alike = np.repeat(gray, 3, -1)
  first, second, shade, moved = AUGMENT([alike, alike, gray, wide], 1.0, key)
  np.testing.assert_array_equal(first, second)
  np.testing.assert_allclose(first, np.repeat(shade, 3, -1), atol=1e-5)  # a gray has no hue
  placed, *_, same = AUGMENT([alike, alike, gray, wide], 1.0, key, kinds='bg')
  np.testing.assert_allclose(same, moved, atol=1e-5)  # five channels are no colour
  for before, after in zip(placed, first, strict=True):
    factor, bias = np.polyfit(np.ravel(before), np.ravel(after), 1)
    np.testing.assert_allclose(factor * before + bias, after, atol=1e-4)
    assert abs(factor - 1) > 0.01
  other = AUGMENT([alike, alike, gray, wide], 1.0, jax.random.key(1))[0]
  assert not np.allclose(first, other)


def test_gradients_go_back_where_pixels_came_from():
  """The adjoint: <A x, y> = <x, A' y> of the linear part."""
  x, y = noise(8, 16, 24, 3), noise(8, 16, 24, 3, seed=1)
  move = jax.jit(lambda x: ada.augment([x], jnp.float32(1), jax.random.key(0))[0])
  out, pull = jax.vjp(move, x)
  back = np.asarray(pull(jnp.asarray(y))[0])
  assert np.isfinite(back).all()
  still = np.asarray(move(np.zeros_like(x)))
  assert np.vdot(np.asarray(out) - still, y) == pytest.approx(np.vdot(x, back), rel=1e-3)


def test_a_batch_that_is_split_over_devices_is_augmented_alike():
  pair, key, shardings = [noise(8, 16, 24, 3), noise(8, 16, 24, 1)], jax.random.key(3), mesh.make('data=8')
  split = AUGMENT(jax.device_put(pair, shardings.data), *jax.device_put((0.7, key), shardings.replicated))
  assert split[0].sharding.is_equivalent_to(shardings.data, 4)
  for ours, theirs in zip(split, AUGMENT(pair, 0.7, key), strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


# ------------------------------------------------------------------------------------------- what p follows


def test_r_t_is_the_mean_sign_of_real_logits(tiny):
  logits = [jnp.array([[0.6, 0.4, 0.9, -1.0]]), jnp.array([[2.0]])]
  assert float(regularisers.mean_sign(tiny, logits)) == pytest.approx(((3 - 1) / 4 + 1) / 2)
  tiny.loss.gan = 'lsgan'
  assert float(regularisers.mean_sign(tiny, logits)) == pytest.approx(((2 - 2) / 4 + 1) / 2)


def test_p_follows_r_t_as_by_hand(tiny):
  """Every third step by 3 x 8 images of 200, up where the mean of three signs is above the target."""
  tiny.ada.update({'target': 0.5, 'kimg': 0.2, 'every': 3})
  signs = np.random.default_rng(0).uniform(0.2, 0.8, 60).astype(np.float32)
  signs[30:] = 1.0
  extra, p, expected, found = ada.fresh(tiny, 'disc_a'), 0.0, [], []
  for step, sign in enumerate(signs):
    extra, logged = jax.jit(lambda extra, sign, step: ada.adjusted(extra, tiny, {'disc/r_t_a': sign}, step))(
      extra, sign, step
    )
    if step % 3 == 2:
      p = float(np.clip(p + np.sign(signs[step - 2 : step + 1].mean() - 0.5) * 3 * 8 / 200, 0, 1))
    expected.append(p)
    found.append(float(logged['ada/p_a']))
  np.testing.assert_allclose(found, expected, atol=1e-5)
  assert 0 in found[3:] and 0 < max(found[:30]) < 1 and found[-1] == 1
  assert float(logged['ada/r_t_a']) == 1


def test_p_moves_what_both_nets_learn_from(tiny):
  """It is changed at each second step, by a quarter."""
  tiny.gen.update({'depth': 1, 'width': 3, 'norm': 'instance', 'dropout': 0.0})
  tiny.disc.update({'width': 3, 'norm': 'instance'})
  tiny.update({'batch_size': 2})
  tiny.ada.update({'target': 0.6, 'kimg': 0.016, 'every': 2})
  tiny.loss.reconstruction_weight = 0.0  # the generator hears of the augmentation through the discriminator
  method, batch = methods.get(tiny), batch_of(tiny, 2)
  state, step = jax.jit(method.init)(jax.random.key(0), batch), jax.jit(method.train_step)
  one, metrics = step(state, batch, jax.random.key(0))
  _, later = step(one, batch, jax.random.key(1))
  signs = [float(m['disc/r_t']) for m in (metrics, later)]
  assert float(metrics['ada/p']) == 0
  assert float(later['ada/r_t']) == pytest.approx(np.mean(signs), abs=1e-6)
  assert float(later['ada/p']) == (0.25 if np.mean(signs) > 0.6 else 0)

  def after(p):
    record = {**state.extra['ada']['disc'], 'p': jnp.float32(p)}
    return step(state.replace(extra={**state.extra, 'ada': {'disc': record}}), batch, jax.random.key(0))[0]

  plain, augmented = after(0.0), after(1.0)
  np.testing.assert_array_equal(flat(plain.params), flat(one.params))
  for net in ('gen', 'disc'):
    assert not np.allclose(flat(plain.params[net]), flat(augmented.params[net]))


@pytest.mark.parametrize('method', ['pix2pix', 'cyclegan', 'ugatit'])
def test_each_discriminator_has_a_p_of_its_own(method, monkeypatch):
  """Of all that it sees: fakes for the generator's update, fakes and reals for its own; of a pair both images."""
  config, seen, original = small(method, **{'ada.target': 0.6}), [], ada.augment
  monkeypatch.setattr(ada, 'augment', lambda images, p, *rest: seen.append((images, p)) or original(images, p, *rest))
  built, batch = methods.get(config), batch_of_shape(config)
  state = jax.eval_shape(built.init, jax.random.key(0), batch)
  given = []

  def step(state, batch):
    given.append(state)
    return built.train_step(state, batch, jax.random.key(0))

  stepped, metrics = jax.eval_shape(step, state, batch)
  assert jax.tree.structure(stepped) == jax.tree.structure(state)
  records = given[0].extra['ada']
  assert list(records) == [name for name in built.nets if name.startswith('disc')]
  assert {f'ada/p{name.removeprefix("disc")}' for name in records} < set(metrics)
  for record in records.values():
    assert sum(p is record['p'] for _, p in seen) == 3
  assert len(seen) == 3 * len(records) and {len(images) for images, _ in seen} == {2 if method == 'pix2pix' else 1}


@pytest.mark.parametrize(
  ('fields', 'words'),
  [
    ({'ada.target': 1.0}, 'config.ada.target = 1.0 is a mean sign'),
    ({'diffaugment': 'color'}, "config.diffaugment = 'color': choose one"),
    ({'loss.gan': 'wgan-gp'}, 'no sign that says real'),
    ({'loss.gan': 'none'}, 'no discriminator sees anything'),
    ({'ada.every': 0}, 'config.ada.every = 0 must be at least 1'),
    ({'ada.kimg': 0.0}, 'config.ada.kimg = 0.0 above 0'),
    ({'ada.set': 'bgx'}, "config.ada.set = 'bgx'"),
  ],
)
def test_what_cannot_be_meant_is_refused(tiny, fields, words):
  tiny.ada.target = 0.6
  tiny.update_from_flattened_dict(fields)
  with pytest.raises(BadInput) as error:
    methods.get(tiny)
  assert words in str(error.value)
