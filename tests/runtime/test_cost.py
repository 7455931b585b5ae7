"""Costs against counts by hand, and variants at equal cost."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from experiments.speed import rows as speed_rows
from i2i_jax import config, fields, methods, sweep, train
from i2i_jax.config import override
from i2i_jax.errors import BadInput
from i2i_jax.layers.conv import convolve
from i2i_jax.runs import checkpoint
from i2i_jax.runs.folder import read_notes
from i2i_jax.runtime import cost, mesh
from i2i_jax.sweeps import match
from i2i_jax.sweeps.experiment import read_experiment

EXPERIMENTS = Path(__file__).parents[2] / 'experiments'
MATCHED = ('attention', 'multiscale')  # eight variants each
SWEEPS = sorted(file for file in EXPERIMENTS.glob('[!_]*.py') if 'def sweep' in file.read_text())


# ------------------------------------------------------------- operations, against counts by hand from layer shapes


def conv(size, kernel, channels_in, channels_out):
  """Multiplications and additions of a convolution with size x size outputs, or a transposed one with such inputs."""
  return 2 * size**2 * kernel**2 * channels_in * channels_out


def unet_operations(widths, size=256):
  sizes = [size // 2 ** (i + 1) for i in range(len(widths))]
  total = sum(conv(s, 4, i, o) for s, i, o in zip(sizes, (3, *widths), widths, strict=False))
  total += conv(sizes[-1], 4, widths[-1], widths[-2])
  for i in range(len(widths) - 2, 0, -1):
    total += conv(sizes[i], 4, 2 * widths[i], widths[i - 1])
  return total + conv(sizes[0], 4, 2 * widths[0], 3)


def resnet_operations(blocks, size=256, width=64, halvings=2, head=True):
  total = conv(size, 7, 3, width) + head * conv(size, 7, width, 3)
  for i in range(halvings):  # a halving's outputs are as many as the inputs of the doubling that undoes it
    total += 2 * conv(size // 2 ** (i + 1), 3, width * 2**i, width * 2 ** (i + 1))
  inner = width * 2**halvings
  return total + 2 * blocks * conv(size // 2**halvings, 3, inner, inner)


def patchgan_operations(size, channels):
  """Of each layer of the 70 px PatchGAN: 256 px give 128, 64, 32, 31 and 30."""
  sizes = [size // 2, size // 4, size // 8, size // 8 - 1, size // 8 - 2]
  widths = (channels, 64, 128, 256, 512, 1)
  return [conv(s, 4, i, o) for s, i, o in zip(sizes, widths, widths[1:], strict=False)]


def ugatit_light_operations(blocks=4, size=256, width=64):
  wide, small = 4 * width, size // 4
  total = conv(size, 7, 3, width) + conv(size, 7, width, 3)
  total += conv(size // 2, 3, width, 2 * width) + conv(small, 3, 2 * width, wide)
  total += 2 * 2 * blocks * conv(small, 3, wide, wide)  # plain, then styled
  total += conv(size // 2, 3, wide, 2 * width) + conv(size, 3, 2 * width, width)  # convolutions of what was doubled
  total += conv(small, 1, 2 * wide, wide) + 2 * 2 * wide  # the map: its 1x1 convolution, two classifiers
  return total + 4 * 2 * wide**2  # style: two layers, then gamma and beta


def sagan_operations(size, channels):
  """Keys and values are pooled 2x2 after their projections."""
  narrow, half, pixels = channels // 8, channels // 2, size**2
  projections = conv(size, 1, channels, 2 * narrow + half) + conv(size, 1, half, channels)
  return projections + 2 * pixels * (pixels // 4) * (narrow + half)


def vit_operations(size, channels, blocks):
  pixels, square = size**2, channels**2
  block = 4 * square + 2 * 4 * square + 2 * pixels * channels  # four projections, feed-forward, q k and weights v
  return 2 * pixels * (2 * channels + 2 * square + square + blocks * block)  # places, in, out


def gate_operations(size, skip, signal):
  return 2 * size**2 * (skip + signal + 1) * (skip // 2)


UNET = (64, 128, 256, 512, 512, 512, 512, 512)
INSTANCE = {'gen.norm': 'instance', 'gen.dropout': 0.0}
RESNET = {**INSTANCE, 'gen.name': 'resnet', 'gen.padding': 'reflect'}
HD = {**RESNET, 'gen.name': 'pix2pixhd', 'gen.halvings': 4}
GENERATORS = {
  'unet': ({}, unet_operations(UNET)),
  'unet with a gate and a transformer': (
    {'gen.attention': {'skip1': 'gate', 'down4': 'vit(blocks=2)'}},
    unet_operations(UNET) + gate_operations(64, 128, 128) + vit_operations(8, 512, 2),
  ),
  **{f'resnet of {n}': ({**RESNET, 'gen.blocks': n}, resnet_operations(n)) for n in (1, 2, 6, 9)},
  'resnet with attention between blocks': (
    {**RESNET, 'gen.blocks': 6, 'gen.attention': {'block1': 'sagan', 'block4': 'vit(blocks=1)'}},
    resnet_operations(6) + sagan_operations(64, 256) + vit_operations(64, 256, 1),
  ),
  'pix2pixhd global': (HD, resnet_operations(9, halvings=4)),
  'pix2pixhd local': (
    {**HD, 'gen.local': 1},
    resnet_operations(9, size=128, halvings=4, head=False) + resnet_operations(3, width=32, halvings=1),
  ),
  'ugatit light': (
    {'method': 'ugatit', 'gen.name': 'ugatit', 'gen.light': True, 'gen.blocks': 4, 'loss.gan': 'lsgan',
     'disc.name': 'ugatit', 'disc.layers': 7},
    ugatit_light_operations(),
  ),
}  # fmt: skip


@pytest.mark.parametrize(('changes', 'expected'), GENERATORS.values(), ids=GENERATORS)
def test_operations_of_a_generator_are_those_counted_by_hand(changes, expected):
  made = fields.defaults()
  override(made, changes)
  assert cost.generator(made)['gen_flops'] == pytest.approx(expected, rel=1e-3)


def test_operations_are_those_that_pytorch_counts():
  """torch.utils.flop_counter.FlopCounterMode on the nets and updates in experiments/speed/: at 256 px, the
  CycleGAN's at 128 px. Where the count by hand and PyTorch's differ, it is by the gradients of padded borders.
  """
  assert unet_operations(UNET) == 12_096_372_736
  assert resnet_operations(9) == 99_103_014_912
  pytorch = {'pix2pix': ('pix2pix_256', 86_940_057_600), 'cyclegan': ('cyclegan_128', 338_313_609_216)}
  for row, expected in pytorch.values():
    assert update_operations(speed_rows.config(speed_rows.ROWS[row])) == pytest.approx(expected, rel=1e-3)


def update_operations(made):
  method, batch = methods.get(made), checkpoint.example_batch(made)
  state, key = jax.eval_shape(method.init, jax.random.key(0), batch), jax.eval_shape(lambda: jax.random.key(0))
  return cost.flops(jax.jit(method.train_step).trace(state, batch, key))


@pytest.mark.parametrize('remat', [False, True])
def test_operations_of_an_update_of_pix2pix(remat):
  """A gradient costs what its convolution does. Images need none, so in a net's own update the first layer lacks it.
  Rematerialised, stages are computed twice.
  """
  made = fields.defaults()
  made.remat = remat
  gen, disc = unet_operations(UNET), patchgan_operations(256, 6)
  expected = 3 * gen - conv(128, 4, 3, 64)
  expected += 2 * (3 * sum(disc) - disc[0])  # its own update, on fake and real
  expected += 2 * sum(disc)  # the generator's: forward, and the gradient of what it sees
  # Forward again: all of the U-Net's stages, all of the PatchGAN's but the last, three times.
  expected += remat * (gen + 3 * sum(disc[:-1]))
  assert update_operations(made) == pytest.approx(expected, rel=0.03 if remat else 0.01)


def test_operations_of_an_update_of_cyclegan():
  """Each generator makes a fake, an identity and a cycle; only a cycle's input has a gradient."""
  made = speed_rows.config(speed_rows.ROWS['cyclegan_128'])
  gen, disc = resnet_operations(6, 128), patchgan_operations(128, 3)
  generators = 3 * 3 * gen - 2 * conv(128, 7, 3, 64)
  discriminators = 2 * sum(disc) + 2 * (3 * sum(disc) - disc[0])
  assert update_operations(made) == pytest.approx(2 * (generators + discriminators), rel=0.01)


def test_operations_of_a_convolution_and_of_loops_and_branches():
  x, kernel = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32), jax.ShapeDtypeStruct((3, 3, 3, 5), jnp.float32)
  assert cost.flops(jax.jit(convolve).trace(x, kernel)) == 2 * (2 * 6 * 6 * 5) * (3 * 3 * 3)

  def looped(x):
    y, _ = lax.scan(lambda x, w: (x @ w, (x @ w) @ w), x, jnp.ones((5, 4, 4)))  # the second is not needed
    return y

  def chosen(x):
    return lax.cond(x.sum() > 0, lambda x: x @ x, lambda x: (x @ x) @ x, x)

  square = jax.ShapeDtypeStruct((4, 4), jnp.float32)
  assert cost.flops(jax.jit(looped).trace(square)) == 5 * 2 * 4**3
  assert cost.flops(jax.jit(chosen).trace(square)) == 2 * 2 * 4**3
  unknown = jax.jit(lambda x, n: lax.fori_loop(0, n, lambda i, x: x @ x, x)).trace(square, 3)
  assert jnp.isnan(cost.flops(unknown))


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


# ------------------------------------------------------------------------------------------------ costs of a run


def test_costs_of_a_config_grow_with_what_they_are_of(tiny):
  costs = cost.config_cost(tiny)
  with tiny.unlocked():
    tiny.disc.width = 8
  wider = cost.config_cost(tiny)
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
  cost.run_cost(tiny, method, shapes, step, (*placed, key))
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
  expected = cost.config_cost(tiny)
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
@pytest.mark.parametrize(
  'name', [pytest.param(name, marks=() if name in ('attention', 'resnet') else pytest.mark.slow) for name in VARIANTS]
)
def test_matched_variants_cost_what_the_baseline_does(tiny, name, kind):
  override(tiny, {'gen.width': 12, 'gen.max_width': 48, 'gen.depth': 4, 'data.crop_size': (32, 32)})
  target = cost.generator(tiny)[match.KINDS[kind]]
  override(tiny, VARIANTS[name])
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
  experiment = read_experiment(file)
  monkeypatch.chdir(EXPERIMENTS.parent)
  configs = sweep.variant_configs(experiment, ['--config.batch_size=2'], tmp_path / 'widths.json')
  assert all(c.batch_size == 2 for c, _ in configs.values())
  distinct = {str({**config.to_dict(c), 'data': None}): c for c, _ in configs.values()}
  for variant in distinct.values():  # each can be trained
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
