"""The nets: published parameter counts, shapes, and what their switches change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import i2i_jax
from i2i_jax import fields, methods, models, train
from i2i_jax.errors import BadInput
from i2i_jax.models import unet
from i2i_jax.runs import checkpoint
from i2i_jax.runtime.describe import describe, parameter_count


def generator(config, channels=3):
  net = models.build(config.gen, channels, where='gen')

  def init(x):
    return net.init(jax.random.key(0), x, dropout=False, running_stats=False)

  return net, init


@pytest.mark.parametrize(('depth', 'size', 'count'), [(8, 256, 54_413_955), (7, 128, 41_828_995)])
def test_unet_has_the_published_parameters(depth, size, count):
  config = fields.defaults()
  config.gen.depth = depth
  shapes = jax.eval_shape(generator(config)[1], jnp.zeros((1, size, size, 3)))
  assert parameter_count(shapes['params']) == count


@pytest.mark.parametrize(('layers', 'count', 'logits'), [(3, 2_768_705, 30), (0, 9_024, 256)])
def test_patchgan_has_the_published_parameters_and_output(layers, count, logits):
  config = fields.defaults()
  config.disc.layers = layers
  net = models.build(config.disc, 1, where='disc')
  x = jnp.zeros((1, 256, 256, 6))
  (y, _), variables = jax.eval_shape(lambda x: net.init_with_output(jax.random.key(0), x, running_stats=False), x)
  assert parameter_count(variables['params']) == count
  assert y.shape == (1, logits, logits, 1)


def test_a_patch_is_70_pixels():
  """One logit in the middle sees a 70x70 field: the gradient's extent."""
  config = fields.defaults()
  config.disc.update({'width': 2, 'norm': 'none'})
  net = models.build(config.disc, 1, where='disc')
  x = jax.random.normal(jax.random.key(1), (1, 256, 256, 6))
  variables = net.init(jax.random.key(0), x, running_stats=False)
  seen = jax.grad(lambda x: net.apply(variables, x, running_stats=False)[0][0, 15, 15, 0])(x)
  rows, cols = np.nonzero(np.abs(seen[0]).sum(-1))
  assert np.ptp(rows) + 1 == np.ptp(cols) + 1 == 70


@pytest.mark.parametrize('upsample', ['transpose', 'nearest', 'bilinear'])
@pytest.mark.parametrize('padding', ['zero', 'reflect', 'replicate'])
@pytest.mark.parametrize('norm', ['batch', 'instance', 'none'])
def test_every_choice_of_the_unet_builds_for_any_channels_and_rectangles(tiny, upsample, padding, norm):
  tiny.gen.update({'upsample': upsample, 'padding': padding, 'norm': norm, 'depth': 2})
  net, init = generator(tiny, channels=5)
  x = jax.random.normal(jax.random.key(0), (2, 8, 20, 2))
  y, out = net.apply(init(x), x, dropout=False, running_stats=False)
  assert y.shape == (2, 8, 20, 5)
  assert np.abs(y).max() <= 1
  assert [f.shape[1:3] for f in out['features']] == [(4, 10), (2, 5)]


def test_dropout_lies_in_the_three_middle_stages_only():
  config = fields.defaults()
  config.gen.update({'width': 2, 'max_width': 16})
  init = generator(config)[1]
  x = jnp.zeros((1, 256, 256, 3))
  layers = []

  def note(call, args, kwargs, context):
    layers.append(context.module.name)
    return call(*args, **kwargs)

  with nn.intercept_methods(note):
    jax.eval_shape(init, x)
  assert [name for name in layers if name and 'dropout' in name] == ['up6_dropout', 'up5_dropout', 'up4_dropout']


@pytest.mark.parametrize(
  ('where', 'name', 'near'),
  [('gen', 'patchgan', 'it is one of'), ('disc', 'unet', 'ugatit'), ('gen', 'patches', 'unet')],
)
def test_a_net_has_a_role(tiny, where, name, near):
  with tiny.unlocked():
    tiny[where].name = name
  with pytest.raises(BadInput, match=rf'config\.{where}\.name = .{name}.*{near}'):
    models.build(tiny[where], where=where)


def test_dropout_draws_only_when_asked_to():
  config = fields.defaults()
  config.gen.update({'width': 4, 'max_width': 8, 'depth': 6})
  net, init = generator(config)
  x = jax.random.normal(jax.random.key(0), (1, 64, 64, 3))
  variables = init(x)

  def run(dropout, seed):
    rngs = {'dropout': jax.random.key(seed)}
    return net.apply(variables, x, dropout=dropout, running_stats=False, rngs=rngs)[0]

  assert jnp.array_equal(run(False, 1), run(False, 2))
  assert not jnp.array_equal(run(True, 1), run(True, 2))


def test_a_size_that_cannot_be_halved_so_often_is_refused(tiny):
  with pytest.raises(BadInput, match=r'depth 3 takes heights and widths that are multiples of 8, not 12x16'):
    generator(tiny)[1](jnp.zeros((1, 12, 16, 3)))


@pytest.mark.parametrize(
  ('field', 'value', 'hint'),
  [('norm', 'bach', 'batch'), ('upsample', 'nearst', 'nearest'), ('name', 'unett', 'unet')],
)
def test_an_unknown_choice_names_the_nearest(tiny, field, value, hint):
  tiny.gen[field] = value
  with pytest.raises(BadInput, match=f"did you mean '{hint}'"):
    generator(tiny)[1](jnp.zeros((1, 16, 16, 3)))


def test_describe_lists_each_net(tiny):
  text = describe(methods.get(tiny), tiny)
  assert text.index('down0') < text.index('down2') < text.index('up0')
  init = generator(tiny)[1]
  count = parameter_count(init(jnp.zeros((1, 16, 24, 3)))['params'])
  assert f'gen: {count:,} parameters' in text.splitlines()


@pytest.mark.parametrize(('layers', 'size'), [(3, 8), (6, 32), (2, 3)])
def test_a_discriminator_of_too_many_layers_says_so(layers, size):
  config = fields.defaults().disc
  config.layers = layers
  net = models.build(config, 1, where='disc')
  x = jax.ShapeDtypeStruct((1, size, size, 3), jax.numpy.float32)
  with pytest.raises(BadInput, match=f'config.disc.layers = {layers}: too many'):
    jax.eval_shape(lambda x: net.init(jax.random.key(0), x, running_stats=False), x)


class Bare(nn.Module):
  """A net that forgets its intermediates, or puts out one channel too few."""

  channels: int
  forgets: bool

  @nn.compact
  def __call__(self, x, *, dropout=False, running_stats):
    y = nn.Conv(self.channels - (not self.forgets), (3, 3))(x)
    return y if self.forgets else (y, {})


@pytest.mark.parametrize(
  ('forgets', 'words'),
  [
    (True, r'the net Bare returns .*; it must return \(y, out\)'),
    (False, r'makes \[16, 24, 2\] .* target is \[16, 24, 3\]'),
  ],
)
def test_a_net_that_does_not_keep_to_the_form_is_refused(tiny, monkeypatch, forgets, words):
  monkeypatch.setattr(unet, 'generator', lambda config, channels: Bare(channels, forgets))
  method = methods.get(tiny)
  with pytest.raises(BadInput, match=words):
    jax.eval_shape(method.init, jax.random.key(0), checkpoint.example_batch(tiny))
  if forgets:
    with pytest.raises(BadInput, match=words):
      describe(method, tiny)


def test_a_net_that_names_no_multiple_takes_any_size(tiny, tmp_path, monkeypatch):
  """As the README's own: __call__ and nothing else."""

  class Plain(nn.Module):
    channels: int

    @nn.compact
    def __call__(self, x, *, dropout, running_stats):
      return nn.tanh(nn.Conv(self.channels, (3, 3))(x)), {}

  monkeypatch.setattr(unet, 'generator', lambda config, channels: Plain(channels))
  with tiny.unlocked():
    tiny.update({'steps': 1})
  train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  picture = np.zeros((7, 11, 3), np.uint8)
  assert i2i_jax.load(tmp_path / 'run').translate([picture], size='full')[0].shape == (7, 11, 3)


@pytest.mark.parametrize('changes', [{'name': 'unet'}, {'name': 'resnet'}, {'name': 'pix2pixhd', 'local': 1}])
def test_a_residual_net_adds_its_input(changes):
  """Its weights are those of the plain net, so the difference of the two outputs is the input."""
  config = fields.defaults().gen
  config.update(
    {'width': 8, 'max_width': 8, 'depth': 3, 'blocks': 1, 'local_blocks': 1, 'norm': 'instance', **changes}
  )
  config.update({'dropout': 0.0, 'halvings': 1})
  nets = []
  for config.residual in (False, True):
    nets.append(models.build(config.copy_and_resolve_references(), 3, where='gen'))
  x = jax.random.uniform(jax.random.key(0), (2, 16, 16, 3), minval=-1, maxval=1)
  plain, residual = nets
  variables = plain.init(jax.random.key(1), x, dropout=False, running_stats=False)
  (y, _), (z, _) = (net.apply(variables, x, dropout=False, running_stats=False) for net in (plain, residual))
  np.testing.assert_allclose(z - y, x, atol=1e-6)
  with pytest.raises(BadInput, match='residual adds the input, of 1 channels'):
    jax.eval_shape(lambda x: residual.init(jax.random.key(1), x, dropout=False, running_stats=False), x[..., :1])
