"""bfloat16 compute, and rematerialisation: what they must not change, and what they may."""

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from i2i_jax import methods, models
from i2i_jax.layers import conv_forms as conv
from i2i_jax.methods import base
from i2i_jax.runtime import compiling
from tests.small import batch_of, small, trained


def traced(config):
  """The jaxpr of a step."""
  method, batch = methods.get(config), batch_of(config)
  state = jax.eval_shape(method.init, jax.random.key(0), batch)
  return jax.make_jaxpr(method.train_step)(state, batch, jax.random.key(0)).jaxpr


def equations(jaxpr):
  """All equations, of inner programs too."""
  for eqn in jaxpr.eqns:
    yield eqn
    for inner in jax.extend.core.jaxprs_in_params(eqn.params):
      yield from equations(inner)


# ------------------------------------------------------------------------------------------------------- bfloat16


@pytest.mark.parametrize('method', ['pix2pix', 'cyclegan', 'ugatit'])
def test_nets_compute_in_bfloat16(method):
  """But for the means over pixels, which norms take as products with a row of ones, in float32."""
  config = small(method, precision='bfloat16')
  if method == 'pix2pix':
    config = small(method, **{'precision': 'bfloat16', 'gen.attention': 'down1=sagan; bottleneck=vit(heads=2)'})
  counts = {'conv_general_dilated': 0, 'dot_general': 0}
  for eqn in equations(traced(config)):
    name = eqn.primitive.name
    if name not in counts:
      continue
    left, right = (v.aval for v in eqn.invars)
    if name == 'dot_general' and left.dtype == right.dtype == jnp.float32:
      vector = min(left.ndim, right.ndim) < 2  # spectral norm's power iteration
      means = not vector and left.shape[0] == 1
      assert vector or means, eqn
      continue
    # Softmax attention keeps its logits, and so their gradients, in float32.
    logits = name == 'dot_general' and eqn.params['preferred_element_type'] == jnp.float32
    assert {left.dtype, right.dtype} - ({jnp.dtype('float32')} if logits else set()) == {jnp.dtype('bfloat16')}, eqn
    counts[name] += 1
  assert min(counts.values()) > 5, counts


@pytest.mark.parametrize('method', ['pix2pix', 'cyclegan'])
def test_what_is_kept_and_what_losses_are_computed_in_is_float32(method):
  config = small(method, precision='bfloat16', ema=0.9)
  method, batch = methods.get(config), batch_of(config)
  state = jax.eval_shape(method.init, jax.random.key(0), batch)
  after, metrics = jax.eval_shape(method.train_step, state, batch, jax.random.key(0))
  outputs = jax.eval_shape(method.translators['ab'].run, state, batch['a'], jax.random.key(0))
  for leaf in jax.tree.leaves((state, after, metrics, outputs)):
    assert leaf.dtype in (jnp.float32, jnp.int32), leaf


@pytest.mark.parametrize('method', ['pix2pix', pytest.param('cyclegan', marks=pytest.mark.slow)])
def test_bfloat16_trains_as_float32_does(method):
  """Ten steps: the losses deviate by the rounding of 8 bits, which a GAN's steps let grow a little."""
  changes = {'gen.dropout': 0.0}
  _, wide = trained(small(method, **changes), 10)
  _, narrow = trained(small(method, precision='bfloat16', **changes), 10)
  names = [name for name in wide[0] if name.startswith('loss/')]
  deviations = np.array([[abs(n[k] - w[k]) / abs(w[k]) for k in names] for n, w in zip(narrow, wide, strict=True)])
  print(f'{method}: a loss deviates by {deviations.max():.1e} of itself, at first by {deviations[0].max():.1e}')
  assert 1e-7 < deviations[0].max() < 0.02
  assert deviations.max() < 0.1


@pytest.mark.parametrize(
  'size, kernel, stride, channels',
  [(8, 4, 2, (5, 7)), (40, 4, 2, (5, 7)), (40, 3, 1, (100, 100)), (24, 7, 1, (9, 3)), (40, 4, 2, (3, 8))],
)
def test_each_form_of_a_convolution_is_right_in_bfloat16(size, kernel, stride, channels):
  """Small maps, strides, wide (Winograd's in float32), few channels out and in: within bfloat16's rounding."""
  rng = np.random.default_rng(0)
  padding = ((1, 1), (1, 1))
  x = jnp.asarray(rng.standard_normal((2, size, size, channels[0])), jnp.bfloat16)
  w = jnp.asarray(rng.standard_normal((kernel, kernel, *channels)), jnp.bfloat16)
  narrow, pull = jax.vjp(lambda x, w: conv.convolve(x, w, stride, padding), x, w)
  y = jnp.asarray(rng.standard_normal(narrow.shape), jnp.bfloat16)
  with conv.plain():
    wide, pull_wide = jax.vjp(
      lambda x, w: conv.convolve(x, w, stride, padding), x.astype(jnp.float32), w.astype(jnp.float32)
    )
    expected = wide, *pull_wide(y.astype(jnp.float32))
  for ours, theirs in zip((narrow, *pull(y)), expected, strict=True):
    assert ours.dtype == jnp.bfloat16
    error = np.abs(np.float32(ours) - np.float32(theirs)).max() / np.std(np.float32(theirs))
    assert error < 0.03, error


# ------------------------------------------------------------------------------------------------------------ remat

CASES = {
  'pix2pix': ('pix2pix', {'gen.depth': 4, 'disc.scales': 2, 'gen.side_outputs': 1, 'loss.side_outputs': 1.0}),
  'pix2pix attention': ('pix2pix', {'gen.attention': 'down1=sagan; skip0=gate; up1=cbam', 'loss.r1': 1.0}),
  'cyclegan': ('cyclegan', {'disc.spectral_norm': True, 'gen.norm': 'batch', 'gen.downsample': 'blur'}),
  'pix2pixhd': (
    'pix2pix',
    {
      'gen.name': 'pix2pixhd',
      'gen.local': 1,
      'gen.norm': 'instance',
      'loss.feature_matching': 1.0,
    },
  ),
  'ugatit': ('ugatit', {}),
}
QUICK = 'pix2pix'  # each compiles four programs


@pytest.mark.parametrize(
  'case', [pytest.param(case, marks=() if case == QUICK else pytest.mark.slow) for case in CASES]
)
def test_rematerialisation_changes_nothing(case, double_precision):
  """Losses, weights and running statistics in float64, with dropout; and something is computed again."""
  method, changes = CASES[case]
  changes = {'precision': 'float64', **changes}
  state, metrics = trained(small(method, **changes), 2)
  again, metrics_again = trained(small(method, remat=True, **changes), 2)
  for ours, theirs in zip(jax.tree.leaves((again, metrics_again)), jax.tree.leaves((state, metrics)), strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
  assert any('remat' in eqn.primitive.name for eqn in equations(traced(small(method, remat=True, **changes))))
  assert not any('remat' in eqn.primitive.name for eqn in equations(traced(small(method, **changes))))


def test_rematerialisation_saves_memory():
  """As XLA counts it, also on a CPU, where equal computations are merged unless the compiler is told otherwise."""
  net = models.build(small('cyclegan', **{'gen.blocks': 6}).gen, 3, where='gen')
  x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  params = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, dropout=False, running_stats=False), x)['params']

  def needed(remat):
    def loss(params, x):
      switches = {'dropout': False, 'running_stats': False}
      return base.run(net, params, {}, x, precision='float32', remat=remat, **switches)[0].sum()

    return compiling.jit(jax.grad(loss)).lower(params, x).compile().memory_analysis().temp_size_in_bytes

  assert needed(remat=True) < 0.8 * needed(remat=False)
