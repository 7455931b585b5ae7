"""Configs of published experiments: their numbers by hand, and that each begins on data of the published layout."""

import math

import pytest

from i2i_jax import data, train
from i2i_jax.config import FOLDER, load
from i2i_jax.errors import BadInput
from i2i_jax.layers import conv_forms
from i2i_jax.plan import make_plan
from i2i_jax.runs import checkpoint
from tests import packed


@pytest.mark.parametrize(
  ('spec', 'steps', 'batch', 'direction', 'load_size', 'schedule'),
  [
    ('pix2pix:set=facades', 200 * 400, 1, 'ba', (286, 286), 'linear'),
    ('pix2pix:set=maps', 200 * 1096, 1, 'ab', (286, 286), 'linear'),
    ('pix2pix:set=maps,direction=ba', 200 * 1096, 1, 'ba', (286, 286), 'linear'),
    ('pix2pix:set=cityscapes', 200 * 2975, 1, 'ba', (286, 286), 'linear'),
    ('pix2pix:set=edges2shoes', 186_840, 4, 'ab', (256, 256), 'constant'),
    ('pix2pix:set=edges2handbags', 519_615, 4, 'ab', (256, 256), 'constant'),
    ('cyclegan:set=horse2zebra', 266_800, 1, 'ab', (286, 286), 'linear'),
    ('cyclegan:set=summer2winter_yosemite', 246_200, 1, 'ab', (286, 286), 'linear'),
    ('cyclegan:set=monet2photo', 200 * 6287, 1, 'ab', (286, 286), 'linear'),
    ('ugatit:set=selfie2anime', 1_000_000, 1, 'ab', (286, 286), 'linear'),
    ('pix2pixhd:', 200 * 2975, 1, 'ab', (512, 1024), 'pix2pixhd'),
    ('pix2pixhd:local=1', 100 * 2975, 1, 'ab', (1024, 2048), 'pix2pixhd'),
  ],
)
def test_the_published_numbers(spec, steps, batch, direction, load_size, schedule):
  config = load([f'--config=reproduce/{spec}'])
  assert (config.steps, config.batch_size, config.data.direction) == (steps, batch, direction)
  assert (tuple(config.data.load_size), config.optim.schedule) == (load_size, schedule)
  assert config.data.flip == (batch == 1)
  assert config.eval_every == config.checkpoint_every == steps // 40


def test_nets_and_losses_are_the_papers():
  """Of images of 256 px, or as pix2pixHD has them: what tests/models counts parameters of."""
  pix2pix, cyclegan, ugatit = (load([f'--config=reproduce/{name}']) for name in ('pix2pix', 'cyclegan', 'ugatit'))
  assert (pix2pix.gen.depth, pix2pix.gen.width, pix2pix.gen.dropout, pix2pix.gen.norm) == (8, 64, 0.5, 'batch')
  assert (pix2pix.loss.gan, pix2pix.loss.reconstruction_weight) == ('vanilla', 100.0)
  assert (cyclegan.gen.name, cyclegan.gen.blocks, cyclegan.loss.gan, cyclegan.pool) == ('resnet', 9, 'lsgan', 50)
  assert (cyclegan.loss.cycle_a, cyclegan.loss.identity, cyclegan.gen.norm) == (10.0, 0.5, 'instance')
  assert (ugatit.gen.light, ugatit.gen.blocks, ugatit.loss.cam, ugatit.optim.weight_decay) == (False, 4, 1000.0, 1e-4)
  coarse, fine = (load([f'--config=reproduce/pix2pixhd:local={local}']) for local in (0, 1))
  assert (coarse.gen.halvings, coarse.gen.blocks, coarse.disc.scales, coarse.data.channels_a) == (4, 9, 2, 36)
  assert (fine.gen.local, fine.disc.scales, fine.gen.freeze_global_steps) == (1, 3, 10 * 2975)


def test_tfds_names_the_set():
  config = load(['--config=reproduce/cyclegan:set=apple2orange,data=cycle_gan'])
  assert (config.data.name, config.data.task, config.steps) == ('cycle_gan', 'apple2orange', 200 * 1019)


@pytest.mark.parametrize(
  ('given', 'words'),
  [
    ('reproduce/pix2pix:set=facade', "did you mean 'facades'"),
    ('reproduce/pix2pixx', "did you mean 'reproduce/pix2pix'"),
    ('reproduced/pix2pix', 'there is no file'),
  ],
)
def test_another_name_is_refused(given, words):
  with pytest.raises(BadInput, match=words):
    load([f'--config={given}'])


def given(name, folder):
  """A config's data, small, of the published layout."""
  if name == 'pix2pix':
    return f'path={packed.pix2pix(folder)[0]}'
  if name == 'pix2pixhd':
    return f'path={packed.cityscapes(folder / "cityscapes")}'
  return f'path={packed.cyclegan(folder / name)}'


@pytest.mark.parametrize('spec', [*sorted(p.stem for p in (FOLDER / 'reproduce').glob('*.py')), 'pix2pixhd:local=1'])
def test_each_begins_with_runlocal(tmp_path, spec):
  name, _, more = spec.partition(':')
  arguments = ','.join(filter(None, (more, given(name, tmp_path), 'runlocal')))
  folder = [f'--config.data.dir={tmp_path / "sets"}'] if name == 'pix2pix' else []  # who reads it
  config = load([f'--config=reproduce/{name}:{arguments}', *folder])
  plan = make_plan(config, tmp_path / 'run', mesh_spec='data=1')
  assert 0 < plan.end <= 20 and max(config.data.crop_size) <= 64
  batch = next(data.train_iterator(plan.train_data, config))
  assert {k: v.shape for k, v in batch.items()} == {
    k: (config.batch_size, *config.data.crop_size, config.data[f'channels_{k}']) for k in 'ab'
  }
  assert math.isfinite(batch['a'].sum())


def test_one_trains(tmp_path):
  """Of a size that compiles quickly."""
  spec = f'reproduce/pix2pix:set=facades,{given("pix2pix", tmp_path)},runlocal'
  smaller = {
    'data.crop_size': '(16, 16)',
    'data.load_size': '(18, 18)',
    'gen.depth': 3,
    'disc.layers': 1,
    'steps': 2,
    'evals': 'psnr',
  }
  smaller['data.dir'] = tmp_path / 'sets'
  config = load([f'--config={spec}', *(f'--config.{name}={value}' for name, value in smaller.items())])
  with conv_forms.plain():  # which compiles in less than half the time
    assert train.train(config, tmp_path / 'run', mesh_spec='data=1') == 0
  assert checkpoint.steps(tmp_path / 'run')[-1] == 2


def test_a_folder_as_cyclegan_publishes_it(tmp_path):
  """Names and counts differ between A and B, so nothing is a pair; the larger side makes an epoch."""
  root = packed.cyclegan(tmp_path / 'horse2zebra')
  config = load([f'--config=reproduce/cyclegan:set=horse2zebra,path={root}'])
  for split, counts in (('train', (4, 6)), ('test', (2, 3))):
    source = data.get(config, split)
    assert isinstance(source, data.Unpaired) and len(source) == counts[1]
    assert tuple(len(source.items[side]) for side in 'ab') == counts
  assert data.get(config, 'val').fingerprint == data.get(config, 'test').fingerprint
