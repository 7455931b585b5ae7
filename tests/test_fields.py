"""Which fields are read by what, against what is read while a method is built and traced."""

import json

import jax
import pytest

from i2i_jax import data, fields, methods, models, train
from i2i_jax.config import check_read, from_dict, load, to_dict, value_at
from i2i_jax.errors import BadInput
from i2i_jax.runs import checkpoint

SPECS = {
  'unet': 'pix2pix:runlocal',
  'resnet': 'cyclegan:data=folder,runlocal',
  'ugatit': 'ugatit:runlocal',
  'pix2pixhd': 'pix2pixhd:size=128,local=1,runlocal',
}


class Noting:
  """A config that notes which of its fields are read."""

  def __init__(self, config, path, seen):
    self.__dict__.update(config=config, path=path, seen=seen)

  def note(self, name, value):
    if hasattr(value, 'items'):
      return Noting(value, f'{self.path}{name}.', self.seen)
    self.seen.add(self.path + name)
    return value

  def __getattr__(self, name):
    return self.note(name, self.config[name]) if name in self.config else getattr(self.config, name)

  def __getitem__(self, name):
    return self.note(name, self.config[name])

  def get(self, name, default=None):
    return self.note(name, self.config[name]) if name in self.config else default


def read(spec):
  config, seen = load([f'--config={spec}']), set()
  method, batch = methods.get(Noting(config, '', seen)), checkpoint.example_batch(config)
  state = jax.eval_shape(method.init, jax.random.key(0), batch)
  jax.eval_shape(method.train_step, state, batch, jax.random.key(0))
  return config, seen


@pytest.mark.parametrize('spec', SPECS.values(), ids=SPECS)
def test_the_table_says_what_is_read(spec):
  config, seen = read(spec)
  for name, (owner, values) in fields.READ_BY.items():
    if owner == 'data.name' or name == 'gen.freeze_global_steps':  # sources below; read to be refused elsewhere
      continue
    assert (name in seen) == (value_at(config, owner) in values), name


def test_the_table_names_what_there_is():
  assert set(fields.OURS['gen.name']) | set(fields.OURS['disc.name']) == set(models.NETS)
  assert set(fields.OURS['data.name']) == set(data.SOURCES)
  for name, (owner, values) in fields.READ_BY.items():
    value_at(fields.defaults(), name)
    assert set(values) < set(fields.OURS[owner]), name


@pytest.mark.parametrize(
  ('spec', 'flags', 'words'),
  [
    ('pix2pix', ['gen.name=resnet', 'gen.depth=3'], 'config.gen.depth is read by config.gen.name = unet, and'),
    ('pix2pix', ['pool=20'], 'config.pool is read by config.method = cyclegan, and not by pix2pix'),
    ('cyclegan', ['loss.reconstruction_weight=1.0'], 'config.loss.reconstruction_weight'),
    ('ugatit', ['disc.padding=2'], 'config.disc.padding is read by config.disc.name = patchgan'),
    ('pix2pix', ['data.path=x'], 'config.data.path is read by config.data.name = folders or tarball'),
  ],
)  # fmt: skip
def test_a_field_that_nothing_reads_is_refused(spec, flags, words):
  with pytest.raises(BadInput) as refused:
    load([f'--config={spec}', *(f'--config.{flag}' for flag in flags)])
  assert words in str(refused.value)


def test_what_is_read_is_taken_also_by_a_net_of_ones_own():
  load(['--config=pix2pix', '--config.gen.name=resnet', '--config.gen.blocks=3'])
  config = load(['--config=pix2pix'])
  config.gen.name = 'mine'  # of a file in models/ that is not there
  check_read(config, ['gen.depth', 'gen.blocks'])
  load(['--config=pix2pix', '--config.data.name=my.source', '--config.data.path=x'])


def test_an_older_runs_config_has_todays_names_and_defaults():
  """As a version wrote it that had no clipping, no choice of optimizer, and `loss.l1`."""
  config = load(
    ['--config=pix2pix:runlocal', '--config.loss.reconstruction_weight=7', '--config.gen.attention=up1=se']
  )
  old = to_dict(config)
  del old['optim']['clip'], old['optim']['name'], old['writers'], old['data']['fit']
  old['loss']['l1'] = old['loss'].pop('reconstruction_weight')
  del old['loss']['reconstruction']
  assert from_dict(old) == from_dict(to_dict(config))
  assert from_dict(old).loss.reconstruction_weight == 7 and 'l1' not in from_dict(old).loss


def test_a_run_of_an_older_version_goes_on(tiny, run):
  file = run / 'config.json'
  old = json.loads(file.read_text())
  del old['optim']['clip'], old['loss']['reconstruction'], old['data']['fit'], old['ada']
  for name in ('depth_a', 'depth_b', 'range_a', 'range_b', 'clip'):
    del old['data'][name]
  file.write_text(json.dumps(old))
  with tiny.unlocked():
    tiny.steps = 7
  assert train.train(tiny, run, mesh_spec='data=1') == 0
  assert checkpoint.steps(run)[-1] == 7
  again = load([f'--config={file}'])
  assert (again.optim.clip, again.loss.reconstruction, again.data.fit) == (0.0, 'l1', 'stretch')
