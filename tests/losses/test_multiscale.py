"""Pyramids, the losses on them, outputs at several scales and training that grows, against NumPy written apart."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2i_jax import config, methods, models, train
from i2i_jax.errors import BadInput
from i2i_jax.layers import pyramid
from i2i_jax.losses import multiscale
from i2i_jax.runs import checkpoint
from i2i_jax.runs.log import read_log
from i2i_jax.runtime import mesh
from i2i_jax.training import grow
from tests.fake import batch_of, flat
from tests.small import whole_state


def images(seed, *shape):
  return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def related(seed, *shape):
  """A picture and a copy with noise: a similarity between 0 and 1."""
  a = images(seed, *shape)
  return a, np.clip(0.8 * a + 0.2 * images(seed + 1, *shape), -1, 1)


# ------------------------------------------------------------------------------------------- references


def pooled(x):
  """3x3 means at each second pixel, over the pixels that are there."""
  height, width = x.shape[1:3]
  rows = [
    [x[:, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].mean((1, 2)) for j in range(0, width, 2)]
    for i in range(0, height, 2)
  ]
  return np.stack([np.stack(row, 1) for row in rows], 1)


def halved(x):
  height, width = x.shape[1] // 2, x.shape[2] // 2
  return x[:, : 2 * height, : 2 * width].reshape(len(x), height, 2, width, 2, -1).mean((2, 4))


def binomial(x):
  kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
  padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), 'reflect')
  height, width = x.shape[1:3]
  return sum(kernel[i, j] * padded[:, i : i + height, j : j + width] for i in range(5) for j in range(5))


def laplacian(x, levels):
  parts = []
  for _ in range(levels - 1):
    small = binomial(x)[:, ::2, ::2]
    blown = np.zeros_like(x)
    blown[:, ::2, ::2] = 4 * small
    parts.append(x - binomial(blown))
    x = small
  return [*parts, x]


def ssim_maps(a, b):
  """SSIM and its contrast-structure part, window by window."""
  at = np.arange(11) - 5
  window = np.exp(-(at[:, None] ** 2 + at[None] ** 2) / (2 * 1.5**2))
  window = (window / window.sum())[None, :, :, None]
  whole, structure = [], []
  for i in range(a.shape[1] - 10):
    for j in range(a.shape[2] - 10):
      x, y = a[:, i : i + 11, j : j + 11], b[:, i : i + 11, j : j + 11]
      mx, my = (window * x).sum((1, 2)), (window * y).sum((1, 2))
      vx, vy = (
        (window * (x - mx[:, None, None]) ** 2).sum((1, 2)),
        (window * (y - my[:, None, None]) ** 2).sum((1, 2)),
      )
      cov = (window * (x - mx[:, None, None]) * (y - my[:, None, None])).sum((1, 2))
      structure.append((2 * cov + 0.0009) / (vx + vy + 0.0009))
      whole.append(structure[-1] * (2 * mx * my + 0.0001) / (mx**2 + my**2 + 0.0001))
  return np.mean(whole, (0, 2)), np.mean(structure, (0, 2))


def ms_ssim(a, b, levels):
  a, b = (a.astype(np.float64) + 1) / 2, (b.astype(np.float64) + 1) / 2
  exponents = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:levels]
  exponents /= exponents.sum()
  result = 1.0
  for level, exponent in enumerate(exponents):
    whole, structure = ssim_maps(a, b)
    result = result * (whole if level == levels - 1 else structure) ** exponent
    a, b = halved(a), halved(b)
  return result


# ------------------------------------------------------------------------------------------- pyramids


@pytest.mark.parametrize('shape', [(2, 8, 6, 3), (1, 7, 5, 2), (1, 1, 4, 1)])
def test_average_pooling_does_not_count_its_padding(shape):
  x = images(0, *shape)
  np.testing.assert_allclose(pyramid.average_pool(jnp.asarray(x)), pooled(x), atol=1e-6)


@pytest.mark.parametrize('levels', [1, 2, 4])
def test_laplacian_pyramid_agrees_and_adds_up_to_the_image(levels):
  x = images(1, 2, 16, 24, 3)
  parts = multiscale.laplacian_pyramid(jnp.asarray(x), levels)
  for part, expected in zip(parts, laplacian(x.astype(np.float64), levels), strict=True):
    np.testing.assert_allclose(part, expected, atol=1e-5)
  total = parts[-1]
  for part in reversed(parts[:-1]):
    total = part + multiscale.expand(total)
  np.testing.assert_allclose(total, x, atol=1e-5)


def test_laplacian_loss_is_the_mean_of_each_level_added_up():
  fake, real = images(2, 2, 16, 8, 3), images(3, 2, 16, 8, 3)
  pairs = zip(laplacian(fake, 3), laplacian(real, 3), strict=True)
  expected = sum(np.abs(f - r).mean() for f, r in pairs)
  assert float(multiscale.laplacian_loss(fake, real, 3)) == pytest.approx(expected, rel=1e-5)
  with pytest.raises(BadInput, match=r'laplacian_levels = 4: .* multiples of 8 and 16 px or more, not 16x8'):
    multiscale.laplacian_loss(fake, real, 4)


@pytest.mark.parametrize(('levels', 'shape'), [(1, (2, 12, 13, 2)), (2, (1, 23, 26, 3)), (3, (2, 44, 46, 1))])
def test_ms_ssim_agrees_with_windows_taken_one_by_one(levels, shape):
  a, b = related(4, *shape)
  ours = multiscale.ms_ssim(jnp.asarray(a), jnp.asarray(b), levels)
  np.testing.assert_allclose(ours, ms_ssim(a, b, levels), atol=1e-5)
  assert (ours > 0.1).all() and (ours < 0.99).all()
  np.testing.assert_allclose(multiscale.ms_ssim(jnp.asarray(a), jnp.asarray(a), levels), 1, atol=1e-5)


def test_ms_ssim_of_five_levels_has_the_published_exponents_and_refuses_small_images():
  a, b = related(5, 1, 176, 176, 1)
  ours = float(multiscale.ms_ssim(jnp.asarray(a), jnp.asarray(b))[0])
  product, x, y = 1.0, (jnp.asarray(a) + 1) / 2, (jnp.asarray(b) + 1) / 2
  for level, exponent in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
    product *= float(multiscale.similarity(x, y)[0 if level == 4 else 1][0]) ** exponent
    x, y = halved(np.asarray(x)), halved(np.asarray(y))
  assert ours == pytest.approx(product, abs=1e-5)
  with pytest.raises(BadInput, match='ms_ssim_levels = 5: MS-SSIM takes images of 176 px or more, not 176x175'):
    multiscale.ms_ssim(a[:, :, 1:], b[:, :, 1:])


def test_the_gradient_of_ms_ssim_is_finite_also_where_images_are_opposites():
  a = images(6, 1, 22, 22, 1)
  for b in (-a, a, np.zeros_like(a)):
    grad = jax.grad(lambda x, b=b: multiscale.ms_ssim(x, b, 2).sum())(jnp.asarray(a))
    assert np.isfinite(grad).all()


def test_losses_of_half_precision_images_are_summed_in_single():
  a, b = (jnp.asarray(x, jnp.bfloat16) for x in related(7, 1, 32, 32, 1))
  values = [
    multiscale.laplacian_loss(a, b, 2),
    multiscale.ms_ssim(a, b, 2),
    multiscale.side_loss([a[:, ::2, ::2]], b),
  ]
  assert {v.dtype.name for v in values} == {'float32'}


# ------------------------------------------------------------------------------------------- in a method


def with_all(tiny):
  tiny.data.update({'crop_size': (24, 32), 'load_size': (24, 32)})
  tiny.gen.side_outputs = 2
  tiny.loss.update(
    {'laplacian': 2.0, 'laplacian_levels': 2, 'ms_ssim': 3.0, 'ms_ssim_levels': 2, 'side_outputs': 5.0, 'gan': 'none'}
  )
  return tiny


@pytest.mark.parametrize('name', ['unet', 'resnet'])
def test_each_generator_puts_out_smaller_images_where_the_config_says(tiny, name):
  tiny.gen.update({'name': name, 'side_outputs': 2, 'blocks': 1})
  net = models.build(tiny.gen, 3, where='gen')
  x = jnp.asarray(images(8, 1, 16, 24, 3))
  variables = net.init(jax.random.key(0), x, dropout=False, running_stats=False)
  y, out = net.apply(variables, x, dropout=False, running_stats=False, mutable=['batch_stats'])[0]
  assert [image.shape for image in out['images']] == [(1, 8, 12, 3), (1, 4, 6, 3)]
  assert all(np.abs(image).max() <= 1 for image in out['images'])
  tiny.gen.side_outputs = 3
  with pytest.raises(BadInput, match=r'config\.gen\.side_outputs = 3: this generator has 2 smaller stages'):
    models.build(tiny.gen, 3, where='gen').init(jax.random.key(0), x, dropout=False, running_stats=False)
  del y


def test_the_losses_reach_the_generator_with_their_weights(tiny):
  """The loss is the sum of the parts by their weights, and each smaller output learns from the smaller target."""
  config = with_all(tiny)
  config.batch_size = 2
  config.gen.dropout = 0.0
  method, batch = methods.get(config), batch_of(config, 2)
  state = jax.jit(method.init)(jax.random.key(0), batch)
  stepped, metrics = jax.jit(method.train_step)(state, batch, jax.random.key(1))
  gen = models.build(config.gen, 3, where='gen')
  y, out = gen.apply(
    {'params': state.params['gen']}, batch['a'], dropout=False, running_stats=False, mutable=['batch_stats']
  )[0]
  y, small, b = np.asarray(y), [np.asarray(x) for x in out['images']], batch['b']
  pairs = zip(laplacian(y, 2), laplacian(b, 2), strict=True)
  expected = {
    'loss/l1': np.abs(y - b).mean(),
    'loss/laplacian': sum(np.abs(f - r).mean() for f, r in pairs),
    'loss/ms_ssim': 1 - ms_ssim(y, b, 2).mean(),
    'loss/side_outputs': np.abs(small[0] - halved(b)).mean() + np.abs(small[1] - halved(halved(b))).mean(),
  }
  for name, value in expected.items():
    assert float(metrics[name]) == pytest.approx(value, rel=1e-4), name
  total = sum(w * v for w, v in zip((100, 2, 3, 5), expected.values(), strict=True))
  assert float(metrics['loss/gen']) == pytest.approx(total, rel=1e-4)
  for side in ('side1', 'side2'):
    assert not np.allclose(flat(stepped.params['gen'][side]), flat(state.params['gen'][side]))


@pytest.mark.parametrize(
  ('fields', 'words'),
  [
    ({'loss.side_outputs': 0.0}, 'config.loss.side_outputs = 0.0 is a weight, config.gen.side_outputs = 2'),
    ({'loss.ms_ssim_levels': 3}, 'config.loss.ms_ssim_levels = 3: MS-SSIM takes images of 44 px or more, not 24x32'),
    ({'loss.ms_ssim_levels': 6}, 'config.loss.ms_ssim_levels = 6 must be 1 to 5'),
    ({'loss.laplacian_levels': 5}, 'config.loss.laplacian_levels = 5: such a pyramid takes'),
    ({'loss.feature_matching': 1.0}, "config.loss.feature_matching: with config.loss.gan = 'none'"),
    ({'method': 'cyclegan', 'loss.gan': 'lsgan'}, 'config.loss.laplacian = 2.0: without pairs there is no target'),
  ],
)
def test_what_cannot_be_had_is_refused_before_anything_is_made(tiny, fields, words):
  config = with_all(tiny)
  config.update_from_flattened_dict(fields)
  with pytest.raises(BadInput) as error:
    methods.get(config)
  assert words in str(error.value)


def test_images_too_small_for_the_patches_are_refused(tiny):
  tiny.disc.update({'layers': 3, 'scales': 3})
  method = methods.get(tiny)
  with pytest.raises(BadInput, match=r'config\.disc\.layers = 3: too many'):
    jax.eval_shape(method.init, jax.random.key(0), checkpoint.example_batch(tiny))


# ------------------------------------------------------------------------------------------- growing


def test_sizes_follow_the_updates_done(tiny):
  tiny.grow = ((0, 4), (3, 8), (5, 16))
  stages = grow.stages(tiny)
  sizes = [grow.size_at(stages, done) for done in range(7)]
  assert sizes == [(4, 6)] * 3 + [(8, 12)] * 2 + [(16, 24)] * 2
  tiny.grow = ()
  assert grow.size_at(grow.stages(tiny), 4) == (16, 24)


def test_smaller_images_are_means_of_what_they_cover():
  batch = {'a': images(9, 2, 8, 12, 3), 'b': np.full((2, 8, 12, 1), 0.25, np.float32)}
  small = grow.downsized(batch, (4, 6))
  np.testing.assert_allclose(small['b'], 0.25, rtol=1e-6)
  # Each output pixel weighs 4 of each axis as 1:3:3:1, as an antialiased triangle does, also at the edges.
  weights = np.zeros((8, 4))
  for i in range(4):
    for j, w in zip(range(2 * i - 1, 2 * i + 3), (1, 3, 3, 1), strict=True):
      if 0 <= j < 8:
        weights[j, i] = w
  weights /= weights.sum(0)
  np.testing.assert_allclose(
    np.asarray(small['a']).mean((0, 2, 3)), batch['a'].mean((0, 3)).mean(1) @ weights, atol=0.05
  )
  assert grow.downsized(batch, (8, 12))['a'] is batch['a']


@pytest.mark.parametrize(
  ('stages', 'words'),
  [
    (((1, 8), (3, 16)), 'the first stage begin at 0'),
    (((0, 8), (3, 8), (4, 16)), 'must rise'),
    (((0, 4), (3, 8)), 'the last stage must have the full height, 16 px'),
    (((0, 5), (3, 16)), 'is no whole number'),
    ((0, 16), 'must be a tuple of tuples of 2 whole numbers'),
    (((0, 4), (3, 16)), 'multiples of 8, not 4x6'),
  ],
)
def test_stages_that_cannot_be_are_refused_before_anything_is_made(tiny, tmp_path, stages, words):
  tiny.grow = stages
  with pytest.raises(BadInput) as error:
    train.train(tiny, tmp_path / 'run')
  assert words in str(error.value)
  assert not (tmp_path / 'run').exists()


def test_a_run_that_grows_resumes_exactly_and_compiles_once_a_size(tiny, tmp_path, monkeypatch):
  tiny.update({'steps': 6, 'grow': ((0, 8), (3, 16)), 'samples': 0, 'checkpoint_every': 2, 'eval_every': 6})
  tiny.gen.depth = 2
  sizes = []
  original = methods.get

  def watched(*args, **kwargs):
    method = original(*args, **kwargs)

    def train_step(state, batch, rng):
      sizes.append(batch['a'].shape[1:3])  # once a trace
      return method.train_step(state, batch, rng)

    return method._replace(train_step=train_step)

  monkeypatch.setattr(methods, 'get', watched)
  train.train(tiny, tmp_path / 'straight', mesh_spec='data=2')
  assert sizes[:2] == sorted(sizes[2:]) == [(8, 12), (16, 24)]  # the check before; the cost and the run
  train.train(tiny, tmp_path / 'twice', mesh_spec='data=2', stop_at=2)
  train.train(tiny, tmp_path / 'twice', mesh_spec='data=2')
  runs = [whole_state(tmp_path / name) for name in ('straight', 'twice')]
  jax.tree.map(np.testing.assert_array_equal, *runs)
  assert 'val/psnr' in read_log(tmp_path / 'twice' / 'metrics.jsonl')[-1]


def test_stages_survive_the_command_line_and_json():
  spec = '--config=pix2pix:size=64'
  loaded = config.load([spec, '--config.grow=((0, 32), (500, 64))'])
  assert loaded.grow == ((0, 32), (500, 64))
  assert config.from_dict(config.to_dict(loaded)).to_dict() == loaded.to_dict()


@pytest.mark.slow
def test_all_of_it_together_is_the_same_on_one_and_two_devices(tiny, double_precision):
  """Every axis and regulariser at once, in float64: what draws, what is cut and what is skipped agree."""
  tiny.data.update({'crop_size': (16, 24), 'load_size': (16, 24)})
  tiny.gen.update({'depth': 1, 'side_outputs': 0, 'width': 2})
  tiny.disc.update({'scales': 2, 'padding': 2, 'width': 2})
  tiny.loss.update({'gan': 'lsgan', 'r1': 0.1, 'r1_every': 2, 'gradient_penalty': 0.1, 'feature_matching': 10.0})
  tiny.loss.update({'laplacian': 1.0, 'laplacian_levels': 2})
  tiny.optim.update({'disc_every': 2, 'adaptive': 0.95})
  tiny.update({'precision': 'float64', 'diffaugment': 'color,translation,cutout', 'order': 'gen_first'})
  method, batch, logs = methods.get(tiny), batch_of(tiny, 2), []
  start = method.init(jax.random.key(0), batch)
  for count in (1, 2):
    shardings = mesh.make(f'data={count}')

    @functools.partial(jax.jit, out_shardings=shardings.replicated)
    def step(state, batch):
      return method.train_step(
        state, grow.downsized(batch, (8, 12)), jax.random.fold_in(jax.random.key(1), state.step)
      )

    state, sharded = jax.device_put(start, shardings.replicated), jax.device_put(batch, shardings.data)
    logs.append([])
    for _ in range(4):
      state, metrics = step(state, sharded)
      logs[-1].append({name: float(value) for name, value in metrics.items()})
  assert [line['loss/r1'] > 0 for line in logs[0]] == [True, False] * 2
  assert state.params['gen']['up0']['conv']['kernel'].dtype == 'float64'
  for one, two in zip(*logs, strict=True):
    assert one == pytest.approx(two, rel=1e-9, abs=1e-9)
