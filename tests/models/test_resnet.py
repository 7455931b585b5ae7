"""The loop over a ResNet's residual blocks: the same as the blocks one by one, and compiled once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from i2i_jax import fields, models
from i2i_jax.models.resnet import Block, Blocks, ResNet

SWITCHES = {'dropout': False, 'running_stats': False}


def image(shape=(2, 8, 12, 4), seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def started(net, *args):
  return jax.jit(lambda rng: net.init(rng, *args, **SWITCHES))(jax.random.key(0))


class Parts(nn.Module):
  """Blocks in calls that end at `stops`."""

  blocks: nn.Module
  stops: tuple[int, ...]

  def __call__(self, x, **switches):
    features, start = [], 0
    for stop in self.stops:
      x, outputs = self.blocks(x, start, stop, **switches)
      features += [*outputs]
      start = stop
    return x, features


@pytest.mark.parametrize('norm', ['instance', 'batch', 'group'])
@pytest.mark.parametrize('stops', [(4,), (1, 4), (3, 4)])
def test_blocks_are_each_block_in_turn(norm, stops):
  x = image()
  net = Parts(Blocks(4, norm), stops)
  variables = started(net, x)
  (y, features), changed = net.apply(variables, x, mutable=['batch_stats'], **SWITCHES)
  assert len(features) == 4
  stats = changed.get('batch_stats', {}).get('blocks', {})
  for i in range(4):
    one = {kind: jax.tree.map(lambda v, i=i: v[i], tree['blocks']) for kind, tree in variables.items()}
    x, after = Block(norm).apply(one, x, mutable=['batch_stats'], **SWITCHES)
    np.testing.assert_allclose(features[i], x, atol=1e-5)
    jax.tree.map(
      lambda new, whole, i=i: np.testing.assert_allclose(whole[i], new, atol=1e-6),
      dict(after).get('batch_stats', {}),
      stats,
    )
  np.testing.assert_array_equal(y, features[-1])
  assert bool(stats) == (norm == 'batch')


def test_each_block_draws_its_own_weights():
  kernels = started(Parts(Blocks(5), (2, 5)), image((1, 4, 4, 16)))['params']['blocks']['conv0']['kernel']
  assert kernels.shape == (5, 3, 3, 16, 16)
  flat = np.asarray(kernels).reshape(5, -1)
  np.testing.assert_allclose(flat.std(1), 0.02, rtol=0.1)
  assert np.abs(np.corrcoef(flat) - np.eye(5)).max() < 0.1


def test_each_block_drops_out_other_features():
  net = Parts(Blocks(4, norm='none', dropout_rate=0.5), (2, 4))
  x = np.ones((1, 8, 8, 4), np.float32)
  variables = started(net, x)
  identity = jnp.zeros((3, 3, 4, 4)).at[1, 1].set(jnp.eye(4))
  params = jax.tree.map(lambda v: jnp.broadcast_to(identity, v.shape) if v.ndim == 5 else v, variables['params'])

  def kept(seed):  # a feature that was dropped out adds nothing
    switches = {**SWITCHES, 'dropout': True}
    _, features = net.apply({'params': params}, x, rngs={'dropout': jax.random.key(seed)}, **switches)
    return [a != b for a, b in zip([x, *features], features, strict=False)]

  masks = kept(0)
  assert all(0.3 < mask.mean() < 0.7 for mask in masks)
  for i in range(4):
    assert all((masks[i] != masks[j]).mean() > 0.3 for j in range(i))
  np.testing.assert_array_equal(masks, kept(0))
  assert (masks[0] != kept(1)[0]).any()


def test_where_attention_sits_does_not_change_the_blocks_arrays():
  config = fields.defaults().gen
  config.update({'name': 'resnet', 'norm': 'instance', 'blocks': 4, 'width': 2, 'dropout': 0.0})
  x = image((1, 8, 8, 3))
  plain = models.build(config, 3, where='gen')
  config.attention = 'block1=sagan; block3=sagan'
  attentive = models.build(config, 3, where='gen')
  variables = started(attentive, x)
  shapes = jax.tree.map(jnp.shape, started(plain, x)['params'])
  assert shapes == {k: jax.tree.map(jnp.shape, v) for k, v in variables['params'].items() if 'attention' not in k}
  # SAGAN's block starts as the identity.
  (y, out), (expected, expected_out) = (net.apply(variables, x, **SWITCHES) for net in (attentive, plain))
  np.testing.assert_allclose(y, expected, atol=1e-5)
  assert len(out['features']) == len(expected_out['features']) == 7
  for a, b in zip(out['features'], expected_out['features'], strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(('width', 'side', 'loop'), [(3, 68, False), (24, 68, True), (3, 64, True)])
def test_convolutions_that_are_no_matrix_products_stay_out_of_loops(width, side, loop):
  """Within one, XLA's CPU backend takes ten times as long for them."""
  net = ResNet(3, blocks=2, width=width)
  x = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
  variables = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, **SWITCHES), x)
  text = jax.jit(lambda variables, x: net.apply(variables, x, **SWITCHES)[0]).lower(variables, x).as_text()
  assert ('stablehlo.while' in text) == loop


def test_more_blocks_are_no_more_to_compile_and_unused_features_take_no_memory():
  x = image((1, 16, 16, 3))

  def lowered(blocks, features):
    net = ResNet(3, blocks=blocks, width=2)
    shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), x, **SWITCHES))

    def run(variables, x):
      y, out = net.apply(variables, x, **SWITCHES)
      return (y, out['features']) if features else y

    return jax.jit(run).lower(shapes, x)

  few, many = (lowered(blocks, False) for blocks in (2, 5))
  products = [
    sum(low.as_text().count(f'stablehlo.{op}') for op in ('convolution', 'dot_general')) for low in (few, many)
  ]
  assert products[0] == products[1] > 0
  stacked = 'f32[5,1,4,4,8]'
  assert stacked not in many.compile().as_text()
  assert stacked in lowered(5, True).compile().as_text()
