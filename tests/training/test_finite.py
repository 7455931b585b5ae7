"""What is not finite is never saved, wherever in the State it is; and it is named."""

import jax
import jax.numpy as jnp
import pytest

from i2i_jax import methods, train
from i2i_jax.errors import RunFault
from i2i_jax.runs import checkpoint
from i2i_jax.training.finite import unsound
from tests.small import small


@pytest.fixture(scope='module')
def state():
  """Zeros in the shapes of a CycleGAN's State, which has all there is: pools, an average, running statistics."""
  config = small('cyclegan', **{'ema': 0.9, 'gen.norm': 'batch'})
  shapes = jax.eval_shape(methods.get(config).init, jax.random.key(0), checkpoint.example_batch(config))
  return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


def test_each_leaf_is_looked_at_and_named(state):
  assert unsound(state, 'adam') == []
  leaves, tree = jax.tree.flatten(state)
  told = set()
  for i, leaf in enumerate(leaves):
    if jnp.issubdtype(leaf.dtype, jnp.floating):
      bad = [*leaves[:i], jnp.full_like(leaf, jnp.inf if i % 2 else jnp.nan), *leaves[i + 1 :]]
      (one,) = unsound(jax.tree.unflatten(tree, bad), 'adam')
      told.add(one.partition(' (')[0])
  nets = [f'{what} of {net}' for what in ('the first moment', 'the second moment') for net in ("gen's", "disc's")]
  assert told == {
    *(f'{of} adam' for of in nets),
    *('the weights of gen', 'the weights of disc', 'the running statistics of gen'),
    *('the average of the weights', 'the image pool'),
  }


def test_a_weight_that_overflows_the_optimizer_ends_the_run_in_one_line(tiny, tmp_path):
  """The losses and weights are finite: the second moment alone is not."""
  with tiny.unlocked():
    tiny.update({'checkpoint_every': 2, 'eval_every': 100, 'samples': 0})
    tiny.loss.reconstruction_weight = 1e30
  with pytest.raises(RunFault, match=r"^step 2: not finite, and not saved: .*second moment of gen's adam") as error:
    train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  assert '\n' not in str(error.value)
  assert checkpoint.steps(tmp_path / 'run') == []
