"""Instance norm where there is nothing to norm: images of one colour, nearly so, and maps of one pixel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2i_jax import methods
from i2i_jax.layers.norm import Norm
from i2i_jax.runtime import compiling
from tests.small import small

EPS = 1e-5


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize(
  ('shape', 'spread'), [((2, 4, 6, 3), 0.0), ((2, 4, 6, 3), 1e-4), ((2, 1, 1, 3), 1.0), ((1, 1, 5, 2), 1e-4)]
)
def test_instance_norm_of_flat_maps_is_what_its_formula_says(shape, spread, dtype):
  """By NumPy in float64; on near-constant maps the gradient is that of PyTorch, up to 1 / sqrt(eps) = 316."""
  rng = np.random.default_rng(0)
  x = jnp.asarray(0.3 + spread * rng.normal(size=shape), dtype)
  pull = jnp.asarray(rng.normal(size=shape), dtype)
  y, back = jax.vjp(lambda x: Norm('instance').apply({}, x), x)
  (grads,) = back(pull)

  wide, g = np.asarray(x, np.float64), np.asarray(pull, np.float64)
  mean = lambda v: v.mean((1, 2), keepdims=True)  # noqa: E731
  scale = 1 / np.sqrt(mean((wide - mean(wide)) ** 2) + EPS)
  normed = (wide - mean(wide)) * scale
  expected = scale * (g - mean(g) - normed * mean(g * normed))
  bits = 2**-8 if dtype == 'bfloat16' else 2**-20
  np.testing.assert_allclose(np.asarray(y, np.float64), normed, atol=4 * bits + 300 * 2**-23, rtol=bits)
  np.testing.assert_allclose(np.asarray(grads, np.float64), expected, atol=320 * bits, rtol=bits)
  assert np.abs(expected).max() <= np.abs(g).max() * 2 / np.sqrt(EPS)


U_NET = {'gen.norm': 'instance', 'disc.norm': 'instance'}  # its innermost map has few pixels


@pytest.mark.parametrize(
  ('method', 'changes', 'precision'),
  [
    ('pix2pix', U_NET, 'float32'),
    ('pix2pix', U_NET, 'bfloat16'),
    ('cyclegan', {}, 'float32'),
    *(pytest.param(*of, marks=pytest.mark.slow) for of in (('cyclegan', {}, 'bfloat16'), ('ugatit', {}, 'float32'))),
  ],
)
def test_an_update_on_images_of_one_colour_is_finite(method, changes, precision):
  config = small(method, **{**changes, 'precision': precision})
  made = methods.get(config)
  init, step = jax.jit(made.init), compiling.jit(made.train_step)
  for a, b in ((0.0, 0.0), (-1.0, 1.0)):
    batch = {side: jnp.full((2, 16, 16, 3), value) for side, value in (('a', a), ('b', b))}
    state = init(jax.random.key(0), batch)
    for i in range(2):
      state, metrics = step(state, batch, jax.random.key(i))
    assert all(np.isfinite(x) for x in jax.tree.leaves(metrics)), metrics
    assert all(np.isfinite(np.asarray(x, np.float32)).all() for x in jax.tree.leaves(state.params))
    assert all(np.isfinite(np.asarray(x, np.float32)).all() for x in jax.tree.leaves(state.opt))
