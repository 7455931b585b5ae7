"""Costs against counts by hand, and variants at equal cost."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from i2i_jax import checkpoint, config, cost, match, mesh, methods, sweep, train
from i2i_jax.config import BadInput, override
from i2i_jax.models.layers import convolve
from i2i_jax.workdir import read_notes

EXPERIMENTS = Path(__file__).parent.parent / 'experiments'
MATCHED = ('attention', 'multiscale')  # half a minute each, to find the widths
SWEEPS = sorted(file for file in EXPERIMENTS.glob('[!_]*.py') if 'def sweep' in file.read_text())


def test_operations_of_a_convolution_are_those_counted_by_hand():
  x, kernel = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32), jax.ShapeDtypeStruct((3, 3, 3, 5), jnp.float32)
  assert cost.flops(jax.jit(convolve).trace(x, kernel)) == 2 * (2 * 6 * 6 * 5) * (3 * 3 * 3)


def test_operations_do_not_depend_on_the_form_that_a_cpu_computes():
  def plain(x, y):
    return x @ y

  def many(x, y):
    return (x @ y) + (y @ x)

  def chosen(x, y):
    return lax.platform_dependent(x, y, cpu=many, default=plain)

  x = jax.ShapeDtypeStruct((8, 8), jnp.float32)
  assert cost.flops(jax.jit(chosen).trace(x, x)) == cost.flops(jax.jit(plain).trace(x, x)) == 2 * 8**3
  assert cost.flops(jax.jit(many).trace(x, x)) == 4 * 8**3


def test_costs_of_a_config_grow_with_what_they_are_of(tiny):
  costs = cost.of_config(tiny)
  with tiny.unlocked():
    tiny.disc.width = 8
  wider = cost.of_config(tiny)
  for name in ('gen_parameters', 'gen_flops'):
    assert wider[name] == costs[name]
  for name in ('parameters', 'step_flops', 'step_bytes'):
    assert wider[name] > costs[name]
  # An update is a pass and its two gradients of 8 images, of the generator alone.
  assert costs['step_flops'] > 3 * tiny.batch_size * 0.9 * costs['gen_flops']
  assert 'k parameters' in cost.line(costs)


@pytest.mark.parametrize('spec', ['data=1', 'data=8'])
def test_the_update_is_compiled_once(tiny, spec):
  shardings, method = mesh.make(spec), methods.get(tiny)
  batch = jax.tree.map(lambda x: jnp.zeros(x.shape), checkpoint.example_batch(tiny))
  state = jax.jit(method.init, out_shardings=shardings.replicated)(jax.random.key(0), batch)
  batch, key = jax.device_put(batch, shardings.data), jax.device_put(jax.random.key(1), shardings.replicated)
  shapes = jax.eval_shape(lambda s: s, state)
  step = jax.jit(method.train_step, donate_argnums=0, out_shardings=shardings.replicated)
  placed = (
    checkpoint.placed(shapes, shardings.replicated),
    checkpoint.placed(checkpoint.example_batch(tiny), shardings.data),
  )
  cost.of(tiny, method, shapes, step, (*placed, key))
  compiled = []
  listen = lambda event, duration, **_: compiled.append(event) if 'backend_compile' in event else None  # noqa: E731
  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    jax.block_until_ready(step(state, batch, key))
    assert compiled == []
    jax.jit(lambda x: x * 3.14)(jnp.ones(3)).block_until_ready()
    assert compiled
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)


def test_a_run_tells_and_notes_its_costs(tiny, tmp_path, capsys):
  train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  expected = cost.of_config(tiny)
  noted = read_notes(tmp_path / 'run')['cost']
  assert noted.pop('step_seconds') > 0
  assert noted.keys() == expected.keys()
  for name in noted.keys() - {'step_bytes'}:  # the loop also draws a key
    assert noted[name] == pytest.approx(expected[name], rel=1e-4)
  assert 'cost: generator' in capsys.readouterr().out


VARIANTS = {
  'bilinear': {'gen.upsample': 'bilinear'},
  'shallow': {'gen.depth': 3},
  'resnet': {'gen.name': 'resnet', 'gen.blocks': 1},
  'attention': {'gen.attention': {'bottleneck': 'vit(blocks=2, heads=4)', 'skip0': 'gate'}},
}


@pytest.mark.parametrize('kind', ['params', 'flops'])
@pytest.mark.parametrize('fields', VARIANTS.values(), ids=VARIANTS)
def test_matched_variants_cost_what_the_baseline_does(tiny, fields, kind):
  override(tiny, {'gen.width': 12, 'gen.max_width': 48, 'gen.depth': 4, 'data.crop_size': (32, 32)})
  target = cost.generator(tiny)[match.KINDS[kind]]
  override(tiny, fields)
  before = cost.generator(tiny)[match.KINDS[kind]]
  reached = match.match(tiny, target, kind)
  assert abs(reached - 1) < 0.02 < abs(before / target - 1)
  assert cost.generator(tiny)[match.KINDS[kind]] == pytest.approx(reached * target)
  assert config.from_dict(config.to_dict(tiny)).gen.widths == tiny.gen.widths


def test_what_can_not_be_matched_is_refused(tiny):
  with pytest.raises(BadInput, match="'flops'"):
    match.match(tiny, 1000, 'flop')
  override(tiny, {'gen.widths': (4, 4)})
  with pytest.raises(BadInput, match='must name 3 widths'):
    cost.generator(tiny)


@pytest.mark.parametrize(
  'file', [pytest.param(p, id=p.stem, marks=pytest.mark.slow if p.stem in MATCHED else ()) for p in SWEEPS]
)
def test_the_experiments_build_and_compare_at_equal_cost(file, tmp_path, monkeypatch):
  experiment = sweep.read_experiment(file)
  monkeypatch.chdir(EXPERIMENTS.parent)
  configs = sweep.variant_configs(experiment, ['--config.batch_size=2'], tmp_path / 'widths.json')
  assert all(c.batch_size == 2 for c, _ in configs.values())
  for variant, _ in configs.values():  # each can be trained
    method, batch = methods.get(variant), checkpoint.example_batch(variant)
    state = jax.eval_shape(method.init, jax.random.key(0), batch)
    jax.eval_shape(method.train_step, state, batch, jax.random.key(0))
  if experiment.match:
    assert len(configs) > 3 and all(abs(ratio - 1) < 0.02 for _, ratio in configs.values())
    # What was found is kept.
    monkeypatch.setattr(match, 'match', None)
    again = sweep.variant_configs(experiment, ['--config.batch_size=2'], tmp_path / 'widths.json')
    assert {k: config.to_dict(c) for k, (c, _) in again.items()} == {
      k: config.to_dict(c) for k, (c, _) in configs.items()
    }
