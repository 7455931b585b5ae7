"""A run that looks at its health: what is planted is told, on every channel, and training is none the wiser."""

import contextlib
import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.health import planted, translated
from i2i_jax import methods, train
from i2i_jax.health import signs
from i2i_jax.methods.base import gradient_norms
from i2i_jax.pages import report
from i2i_jax.runs.log import read_log
from i2i_jax.runtime import compiling
from i2i_jax.training.progress import Progress
from tests.small import batch_of, small, tiny_config


def watched(steps=6):
  config = tiny_config()
  with config.unlocked():
    config.update({'health_every': 2, 'steps': steps, 'eval_every': 6, 'checkpoint_every': 2, 'samples': 0})
  return config


def constant(images, fake):
  return 0 * fake + 0.2


@pytest.fixture(scope='module')
def ill(tmp_path_factory):
  """A run whose generator seems to answer with one gray: (folder, what it printed when begun, when resumed)."""
  folder, told = tmp_path_factory.mktemp('ill') / 'run', []
  with planted(translated(constant)):
    for stop_at in (4, None):
      with contextlib.redirect_stderr(io.StringIO()) as text:
        train.train(watched(), folder, mesh_spec='data=1', stop_at=stop_at)
      told.append(text.getvalue())
  return folder, *told


def test_a_planted_fault_is_told_once_also_after_resuming(ill):
  _, begun, resumed = ill
  warnings = [line for line in begun.splitlines() if line.startswith('warning: ')]
  assert sum(line.startswith('warning: collapse, since step 2: ') for line in warnings) == 1
  assert not [line for line in warnings if line.startswith('warning: ignores-input')]  # collapse says it
  assert 'warning: collapse' not in resumed  # it was told, and lasts


def test_the_bar_names_what_lasts(capsys):
  progress = Progress(step=0, steps=10, batch_size=1)
  progress.ill([signs.Alarm('collapse', '_ba', 2, 4, 0.0)])
  progress.show(5, {'loss/gen': 1.0})
  assert 'ILL=collapse from B to A' in capsys.readouterr().err
  progress.ill([])
  progress.printed = 0.0
  progress.show(6, {'loss/gen': 1.0})
  assert 'ILL' not in capsys.readouterr().err


def test_the_log_has_a_line_of_readings_each_time(ill):
  looks = [line for line in read_log(ill[0] / 'metrics.jsonl') if signs.readings(line)]
  assert [line['step'] for line in looks] == [2, 4, 6]
  assert {'health/diversity', 'health/wins', 'health/grad/gen', 'health/grad/disc'} <= looks[0].keys()
  assert 'health/moved/disc' in looks[1]
  assert looks[0]['health/diversity'] < 1e-3


def test_the_page_says_what_is_wrong(ill, page):
  page.goto(report.write(ill[0]).as_uri())
  assert page.faults == []
  first = page.locator('ul.found li').first.text_content()
  assert first.startswith('collapse, since step 2: outputs for different inputs')
  page.locator('details summary').click()
  assert page.locator('details table tr').count() > 10


def test_health_changes_nothing_that_is_learnt(ill, tmp_path):
  """Off by one field: without it the losses are the same but for rounding, and nothing of it is there."""
  config = watched()
  with config.unlocked():
    config.health_every = 0
  train.train(config, tmp_path / 'run', mesh_spec='data=1')
  text = (tmp_path / 'run' / 'metrics.jsonl').read_text()
  assert 'health/' not in text and 'grad/' not in text
  losses = [
    [{k: v for k, v in line.items() if k.startswith('loss/')} for line in read_log(folder / 'metrics.jsonl')]
    for folder in (tmp_path / 'run', ill[0])
  ]
  for plain, seen in zip(*([line for line in of if line] for of in losses), strict=True):
    assert plain == pytest.approx(seen, rel=1e-5)
  page = json.loads((tmp_path / 'run' / 'report.html').read_text().split('id="data">')[1].split('</script>')[0])
  assert page['health'] == {}


def test_norms_are_those_of_the_steps_that_sgd_takes():
  """By plain SGD with a rate of 1 a net moves by its gradient, so that what it moved by is the norm."""
  config = small('pix2pix', **{'optim.name': 'sgd', 'optim.lr': 1.0, 'optim.schedule': 'constant', 'health_every': 2})
  made, batch = methods.get(config), batch_of(config)
  state, step = compiling.jit_once(made.init)(jax.random.key(0), batch), compiling.jit(made.train_step)
  before, metrics = step(state, batch, jax.random.key(1))
  assert {float(metrics[f'grad/{net}']) for net in ('gen', 'disc')} == {0.0}  # not due
  after, metrics = step(before, batch, jax.random.key(2))
  for net in ('gen', 'disc'):
    moved = jax.tree.map(lambda new, old: np.asarray(new - old, np.float64), after.params[net], before.params[net])
    norm = np.sqrt(sum(np.square(x).sum() for x in jax.tree.leaves(moved)))
    assert float(metrics[f'grad/{net}']) == pytest.approx(norm, rel=1e-3)


def test_nets_of_both_directions_have_a_norm_each():
  config = small('cyclegan', health_every=1)
  grads = {'ab': {'kernel': jnp.array([3.0, 4.0])}, 'ba': {'kernel': jnp.array([0.0, 2.0])}}
  assert gradient_norms(config, 'gen', grads, jnp.array(7)) == {'grad/gen_ab': 5, 'grad/gen_ba': 2}
