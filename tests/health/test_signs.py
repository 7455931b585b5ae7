"""Signs of illness, from the lines of a log."""

from pathlib import Path

from i2i_jax.health import readings, signs
from tests.health.test_readings import seen, smooth


def log(name, *values, every=100):
  return [{'step': every * (i + 1), f'health/{name}': value} for i, value in enumerate(values)]


def test_once_is_chance_and_twice_is_a_sign():
  assert signs.alarms(log('diversity', 0.9, 0.1, 0.9, 0.1)) == []
  (alarm,) = signs.alarms(log('diversity', 0.9, 0.1, 0.02, 0.9))
  assert alarm == signs.Alarm('collapse', '', 200, 300, 0.02)


def test_what_another_sign_explains_is_not_told():
  """One gray for everything has no grain, its own colour and no target; frozen discriminators guess."""
  gray = {'diversity': 0.0, 'sensitivity': 0.0, 'colour': 3.0, 'blocks': 1.0, 'match': 1.0}
  assert signs.found(gray) == {('collapse', ''): 0.0}
  assert signs.found({'moved/disc': 0.0, 'guesses_a': 0.5, 'guesses_b': 0.9}) == {('disc-frozen', ''): 0.0}
  assert signs.found({'diversity_ba': 0.0, 'blocks': 1.0}) == {('collapse', '_ba'): 0.0, ('blocks', ''): 1.0}


def test_lasting_are_those_that_the_last_look_still_saw():
  lines = log('diversity', 0.1, 0.1, 0.9)
  assert len(signs.alarms(lines)) == 1
  assert signs.lasting(lines) == []
  assert [alarm.since for alarm in signs.lasting(log('diversity', 0.9, 0.1, 0.1))] == [200]


def test_lines_of_losses_between_do_not_matter():
  lines = log('wins_a', 1.0, 1.0)
  lines.insert(1, {'step': 150, 'loss/gen': 1.0})
  (alarm,) = signs.lasting([*lines, {'step': 250, 'val/psnr': 20.0}])
  assert (alarm.sign, alarm.side) == ('disc-wins', '_a')


def test_a_line_names_what_where_since_when_and_what_helps():
  (alarm,) = signs.lasting(log('diversity_ba', 0.04, 0.03))
  assert alarm.line().startswith(
    'collapse from B to A, since step 100: outputs for different inputs differ 3% as much'
  )
  assert 'loss.cycle_a' in alarm.line()


def test_each_sign_reads_something_that_is_measured():
  """A threshold on a reading that nobody takes would never tell."""
  fake = smooth(5)
  known = set(seen(fake, back=fake, back_noised=fake)) | {'moved/disc'}
  steps = {f'disc/{name}': [0.5] for name in ('real', 'fake', 'right_real', 'right_fake')}
  known |= set(readings.of_discriminators(steps))
  assert {sign.reading for sign in signs.SIGNS.values()} <= known


def test_the_targets_themselves_have_no_sign():
  found = seen(smooth(1) + 0.05 * smooth(2))
  assert [name for name, sign in signs.SIGNS.items() if sign.reading in found and sign.ill(found[sign.reading])] == []


def test_fields_that_are_said_to_help_exist():
  import re

  from i2i_jax import fields

  known = {name for name, _ in flat(fields.defaults())}
  for sign in signs.SIGNS.values():
    for name in re.findall(r'\b(?:loss|optim|gen|disc|data)\.[a-z_0-9]+', sign.helps):
      assert name in known, name


def flat(config, where=''):
  for name, value in config.items():
    if hasattr(value, 'items'):
      yield from flat(value, f'{where}{name}.')
    else:
      yield f'{where}{name}', value


def test_the_page_of_health_has_every_sign_and_its_threshold():
  text = (Path(__file__).parents[2] / 'docs' / 'health.md').read_text()
  for name, sign in signs.SIGNS.items():
    side = 'above' if sign.above else 'below'
    assert f'| {name} | {sign.reading} | {side} {sign.limit:g} |' in text, name
