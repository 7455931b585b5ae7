"""Distances of an output from its target, against numbers by hand, and one of a user's own."""

import jax
import numpy as np
import pytest

from i2i_jax.errors import BadInput
from i2i_jax.losses import reconstruction
from tests.small import small, trained


def edges(fake, real):
  """A loss that is nowhere in the package."""
  return 3 * abs(fake[:, 1:] - real[:, 1:]).mean()


@pytest.mark.parametrize(
  ('name', 'expected'),
  [('l1', 0.5), ('l2', 0.5), ('charbonnier', (0.001 + np.sqrt(1 + 1e-6)) / 2), (f'{__name__}.edges', 3.0)],
)
def test_values_by_hand(name, expected):
  """One row is right, the other wrong by one."""
  fake, real = np.zeros((2, 2, 3, 1), np.float32), np.zeros((2, 2, 3, 1), np.float32)
  fake[:, 1] = 1.0
  assert reconstruction.get(name)(fake, real) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('name', ['l3', 'get', 'BadInput', 'jax', 'no_such_package.edges', f'{__name__}.nothing'])
def test_what_is_no_loss_is_refused(name):
  with pytest.raises(BadInput, match=r'config\.loss\.reconstruction'):
    reconstruction.get(name)


def test_pix2pix_learns_by_the_loss_that_the_config_names():
  changes = {'loss.gan': 'none', 'loss.reconstruction_weight': 5.0}
  states = {}
  for name in ('l1', f'{__name__}.edges'):
    state, metrics = trained(small('pix2pix', **changes, **{'loss.reconstruction': name}), 2)
    short = name.rpartition('.')[2]
    assert metrics[0]['loss/gen'] == pytest.approx(5 * metrics[0][f'loss/{short}'], rel=1e-5)
    states[short] = state.params['gen']
  assert not np.allclose(*(jax.tree.leaves(params)[1] for params in states.values()))


def test_a_loss_that_is_no_number_is_named():
  config = small('pix2pix', **{'loss.gan': 'none', 'loss.reconstruction': f'{__name__}.each'})
  with pytest.raises(BadInput, match=r'reconstruction = each: it gives \[2\], not one number'):
    trained(config, 1)


def each(fake, real):
  return abs(fake - real).mean((1, 2, 3))
