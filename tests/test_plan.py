"""A plan writes nothing, and hooks are told in order."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from i2i_jax import train
from i2i_jax.errors import BadInput, RunFault
from i2i_jax.methods import base
from i2i_jax.plan import make_plan
from i2i_jax.training import hooks


def test_a_plan_says_what_will_be_done_and_writes_nothing(tiny, tmp_path):
  plan = make_plan(tiny, tmp_path / 'run', mesh_spec='data=2', stop_at=4)
  assert (plan.start, plan.end, plan.shardings.devices) == (0, 4, 2)
  assert plan.shapes.step.shape == () and plan.method.translators.keys() == {'ab'}
  assert list(tmp_path.iterdir()) == []


def test_a_plan_starts_where_the_run_stands(tiny, tmp_path):
  train.train(tiny, tmp_path / 'run', mesh_spec='data=1', stop_at=3)
  plan = make_plan(tiny, tmp_path / 'run', mesh_spec='data=1')
  assert (plan.start, plan.end) == (3, 6)


@pytest.mark.parametrize(
  ('changes', 'arguments', 'words'),
  [
    ({'steps': 0}, {}, 'config.steps = 0'),
    ({'batch_size': 3}, {'mesh_spec': 'data=2'}, 'config.batch_size = 3'),
    ({}, {'mesh_spec': 'data=9'}, '--mesh data=9'),
    ({'precision': 'float64'}, {}, "i2i_jax.prepare(precision='float64')"),
    ({'method': 'pix2pixx'}, {}, "did you mean 'pix2pix'"),
    ({}, {'profile': True, 'stop_at': 2}, '--profile'),
  ],
)
def test_what_a_plan_refuses(tiny, tmp_path, changes, arguments, words):
  with tiny.unlocked():
    tiny.update(changes)
  with pytest.raises(BadInput) as refused:
    make_plan(tiny, tmp_path / 'run', **arguments)
  assert words in str(refused.value)
  assert list(tmp_path.iterdir()) == []


def test_hooks_are_told_in_their_order_and_what_is_not_finite_ends_the_run(tiny, tmp_path):
  heard, plan = [], SimpleNamespace(config=tiny, workdir=tmp_path)
  state = base.State(step=4, params={'gen': {'w': jnp.array(jnp.inf)}, 'disc': {'w': jnp.ones(2)}}, opt={}, extra={})
  listen = hooks.Hook(metrics=lambda step, values: heard.append((step, values)))
  every = (hooks.check_finite(plan, lambda: state), listen)
  hooks.tell(every, 3, {'loss/l1': jnp.float32(0.5)})
  assert heard == [(3, {'loss/l1': 0.5})]
  with pytest.raises(RunFault, match='step 4: loss/l1 is nan; not finite by now: the weights of gen; no checkpoint'):
    hooks.tell(every, 4, {'loss/l1': np.float32('nan')})
  assert len(heard) == 1  # it is not logged


def test_the_loop_logs_one_step_late_scores_before_it_saves_and_leaves_nothing_out(tiny, tmp_path, monkeypatch):
  said = []

  def noting(name, make):
    def wrapped(*arguments):
      hook = make(*arguments)
      act = lambda step, state: (said.append((name, step)), hook.act(step, state))  # noqa: E731
      metrics = lambda step, values: (said.append((name, step)), hook.metrics(step, values))  # noqa: E731
      return hook._replace(**({'metrics': metrics} if name == 'log' else {'act': act}))

    return wrapped

  for name in ('log', 'validate', 'save'):
    monkeypatch.setattr(hooks, name, noting(name, getattr(hooks, name)))
  step = train.compiled_step

  def counted(*arguments):
    compiled = step(*arguments)

    class Step:
      trace = compiled.trace

      def __call__(self, *arguments):
        said.append(('update',))
        return compiled(*arguments)

    return Step()

  monkeypatch.setattr(train, 'compiled_step', counted)
  train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  update = ('update',)
  once = [update, update, ('log', 1), update, ('log', 2), ('log', 3), ('validate', 3), ('save', 3)]
  again = [update, update, ('log', 4), update, ('log', 5), ('log', 6), ('validate', 6), ('save', 6)]
  assert said == [('validate', 0), *once, *again]
