"""Readings of health against numbers that are known beforehand."""

import numpy as np
import pytest

from i2i_jax.health import readings


def smooth(seed, count=16, size=32, channels=3):
  """Images without a grid: waves of at least 9 px in each direction."""
  rng = np.random.default_rng(seed)
  at = np.arange(size) / size
  waves = [
    rng.uniform(-0.15, 0.15, (count, 1, 1, channels))
    * np.cos(2 * np.pi * (u * at[:, None] + v * at + rng.uniform(0, 1, (count, 1, 1))))[..., None]
    for u in range(4)
    for v in range(4)
  ]
  return sum(waves).astype(np.float32)


def seen(fake, source=None, target=None, paired=True, **given):
  source = smooth(0) if source is None else source
  target = smooth(1) if target is None else target
  swapped = given.pop('swapped', np.roll(fake, -1, 0))
  return readings.readings(readings.Seen(source, target, fake, swapped, 8, paired, **given))


def test_true_targets_read_as_healthy():
  target = smooth(1)
  found = seen(target + 0.01 * smooth(2))
  assert found['diversity'] == pytest.approx(1, abs=0.02)
  assert found['sensitivity'] == pytest.approx(1, abs=0.02)
  assert found['match'] > 20  # others' targets are as far as images are from one another
  assert found['unseen'] == pytest.approx(1, abs=0.2)
  assert found['change'] == pytest.approx(1, abs=0.02)
  for name in ('colour', 'grid', 'blocks', 'saturation'):
    assert abs(found[name]) < 0.02, name


def test_the_same_for_all_inputs_is_no_diversity():
  found = seen(np.repeat(smooth(3, 1), 16, 0))
  assert found['diversity'] < 1e-3
  assert found['sensitivity'] == 0
  assert found['match'] == pytest.approx(1, abs=0.15)


def test_dropout_alone_makes_no_sensitivity():
  """Outputs that differ by their dropout and not by their input: each place keeps its draws."""
  fake = smooth(4)
  found = seen(fake, swapped=fake.copy())
  assert found['diversity'] > 0.9
  assert found['sensitivity'] == 0


@pytest.mark.parametrize('channel', [0, 2])
def test_a_shift_of_one_channel_by_its_deviation(channel):
  target = smooth(1)
  shift = np.zeros(3, np.float32)
  shift[channel] = 1.5 * target[..., channel].std()
  assert seen(target + shift)['colour'] == pytest.approx(1.5, rel=1e-3)


@pytest.mark.parametrize('paired', [True, False])
def test_swapped_and_inverted_colours(paired):
  """A target of three unlike channels, by its mean 0.2, 0 and -0.3: swapped, the distance is what it would be."""
  target = smooth(1) + np.array([0.2, 0.0, -0.3], np.float32)
  assert seen(target, target=target, paired=paired)['swapped'] < 0.2
  assert seen(-target, target=target, paired=paired)['swapped'] > 5
  assert (seen(target[..., ::-1], target=target, paired=paired)['swapped'] > 5) == paired


@pytest.mark.parametrize('period', [2, 4])
def test_a_planted_grid_is_read_as_its_contrast(period):
  """A square wave of 0.1 along rows has a deviation of 0.1, whatever its period."""
  target = smooth(1)
  sign = np.where(np.arange(32) % period < period // 2, 1, -1).astype(np.float32)
  found = seen(target + 0.1 * sign[:, None, None])
  assert found['grid'] == pytest.approx(0.1 / target.std(), rel=0.02)


def test_a_grid_that_the_targets_have_is_none():
  target = smooth(1)
  target[:, ::2] += 0.1
  assert seen(target.copy(), target=target)['grid'] < 0.01


def test_nearest_neighbours_are_blocks():
  target = smooth(1)
  assert seen(target[:, ::2, ::2].repeat(2, 1).repeat(2, 2))['blocks'] == pytest.approx(1)
  assert seen(target[:, ::4].repeat(4, 1))['blocks'] == pytest.approx(1)


def test_saturation_is_what_the_targets_have_not():
  target = smooth(1)
  target[:, :8] = 1
  fake = target.copy()
  fake[:, 8:16] = -1
  assert seen(fake, target=target)['saturation'] == pytest.approx(0.25, abs=1e-6)
  assert seen(target, target=target)['saturation'] == 0


def test_handing_on_the_input_changes_nothing():
  source = smooth(0)
  assert seen(source.copy(), source)['change'] == 0
  assert seen(source.copy(), source, paired=False)['change'] == 0


def test_what_is_learnt_by_heart():
  """Errors of 0.01 on training images, of 0.04 on the others."""
  target, error = smooth(1), np.full((16, 1, 1, 1), 0.01, np.float32)
  error[8:] = 0.04
  assert seen(target + error, target=target)['unseen'] == pytest.approx(4, rel=1e-3)


def test_a_hidden_input_does_not_survive_noise():
  source = smooth(0)

  def there(x):
    return 0.01 * x

  def back(x):
    return 100 * x

  found = readings.readings(readings.look(there, source, smooth(1), 0, False, back))
  assert found['hidden'] > 100
  honest = readings.readings(readings.look(lambda x: -x, source, smooth(1), 0, False, lambda x: 0.1 - x))
  assert honest['hidden'] < 1.1
  assert not {'match', 'unseen'} & honest.keys()  # without pairs


def test_other_channels_and_odd_sizes():
  source, target = smooth(0, 6, 30, 1), smooth(1, 6, 30, 4)[:, :27]
  found = readings.readings(readings.Seen(source, target, target.copy(), np.roll(target, -1, 0), 3, True))
  assert 'change' not in found  # images of other channels cannot be handed on
  assert all(np.isfinite(value) for value in found.values())


def test_images_of_one_colour_give_finite_readings():
  flat = np.zeros((4, 16, 16, 3), np.float32)
  found = readings.readings(readings.Seen(flat, flat, flat, flat, 2, True, flat, flat))
  assert all(np.isfinite(value) for value in found.values())


def test_discriminators():
  steps = {
    'disc/real_a': [1.0, 2.0],
    'disc/fake_a': [-1.0, -4.0],
    'disc/right_real_a': [0.5, 0.7],
    'disc/right_fake_a': [1.0, 0.8],
    'disc/real_b': [0.0],
    'disc/fake_b': [0.5],
    'grad/gen_ab': [0.0, 3.0],
  }
  found = readings.of_discriminators(steps)
  assert found == pytest.approx(
    {'grad/gen_ab': 3, 'logits_a': 4, 'loud_a': 2.5, 'wins_a': 0.6, 'guesses_a': 0.9, 'logits_b': -0.5, 'loud_b': 0.5}
  )
