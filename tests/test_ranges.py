"""The table of ranges against every field there is, against what the code knows, and against all configs."""

import itertools
import math

import pytest

from i2i_jax import fields, optim, ranges
from i2i_jax.config import FOLDER, load, override, to_dict
from i2i_jax.errors import BadInput
from i2i_jax.layers import conv, norm, pyramid
from i2i_jax.losses import diffaugment, multiscale, objectives
from i2i_jax.runtime import precision
from i2i_jax.training import writers

FIELDS = dict(ranges.flat(fields.defaults()))


def test_each_field_has_an_entry_and_each_entry_a_field():
  assert FIELDS.keys() == ranges.RANGES.keys()


def test_defaults_and_all_configs_are_within():
  ranges.check(fields.defaults())
  names = [file.relative_to(FOLDER).with_suffix('').as_posix() for file in FOLDER.rglob('[!_]*.py')]
  assert len(names) >= 8
  for name, argument in itertools.product(names, ('', ':runlocal')):
    load([f'--config={name}{argument}'])
  for name in ('pix2pix', 'cyclegan', 'ugatit', 'pix2pixhd'):
    for data in fields.OF_DATA:
      if (data == 'labels') <= (name in ('pix2pix', 'pix2pixhd')) and (data == 'cycle_gan') <= (name[:3] != 'pix'):
        load([f'--config={name}:data={data}'])


def wrong(allowed):
  """Values that a field may not have."""
  numbers = [allowed.low if allowed.above else allowed.low - 1, allowed.high if allowed.below else allowed.high + 1]
  ones = [True, 'text', math.nan, math.inf, 10**400, *(n for n in numbers if math.isfinite(n)), None, [1]]
  if allowed.kind is int:
    ones.append(2.5)
  if allowed.kind is bool:
    ones = [1, 0, 'yes', None]
  if allowed.kind is str:
    ones = [3, None, ('a',), True, *(['nonsense'] if allowed.options else [])]
  if allowed.options and allowed.kind is int:
    ones = [7, '8', 8.5, True]
  if allowed.empty:
    ones.remove(None)
  if not allowed.shape:
    return ones
  if len(allowed.shape) == 1:
    lengths = [(1,), (1, 1, 1)] if allowed.shape[0] else []
    return [5, 'text', None, *lengths, *((x,) * (allowed.shape[0] or 2) for x in ones)]
  lengths = [(1, 2), *([((1,),)] if allowed.shape[1] else [])]
  return [5, 'text', None, *lengths, *(((x,) * (allowed.shape[1] or 2),) for x in ones)]


@pytest.mark.parametrize('name', [name for name, allowed in ranges.RANGES.items() if allowed])
def test_what_is_outside_is_refused_in_one_line(name):
  allowed = ranges.RANGES[name]
  ranges.check_value(allowed, FIELDS[name], f'config.{name}')
  for value in wrong(allowed):
    with pytest.raises(BadInput) as refused:
      ranges.check_value(allowed, value, f'config.{name}')
    text = str(refused.value)
    assert text.startswith(f'config.{name} = {value!r}') and '\n' not in text, text
    assert 'must be ' in text or 'is one of' in text, text


@pytest.mark.parametrize(
  ('name', 'fits', 'does_not'),
  [
    ('optim.b1', [0.0, 0.999], [1.0, 2.0, -0.1]),
    ('gen.dropout', [0.0, 0.9], [1.0, 1.5]),
    ('ema', [0.0, 0.9999], [1.0, 1.5]),
    ('optim.decay_from', [0.0, 1.0], [1.01, 3.0]),
    ('seed', [0, 2**32 - 1], [2**32, -1, 2**64]),
    ('steps', [1, 2**31 - 1], [0, 2**31]),
    ('data.crop_size', [(1, 16384)], [(0, 64), (64, 16385), (10**6, 10**6), (64.0, 64), ('64', '64'), (64,), 64]),
    ('gen.widths', [(), (1, 2)], [(0,), (1, 0.5), 'wide', ('1',)]),
    ('grow', [(), ((0, 64), (5, 128))], [(0, 64), ((0, 64, 1),), ((0, 'x'),), ((0, 1.5),)]),
    ('data.labels', [(), ((0, 0, 0), (255, 0, 0))], [(1, 2), ((math.nan,),), (('a',),)]),
    ('loss.gradient_penalty', [None, 0.0, 10], [-1.0, math.nan, 'x']),
    ('data.name', ['earth', 'my.source'], ['earht', 3]),
    ('writers', ['', 'tensorboard', 'wandb,tensorboard'], ['tensorbord', 'wandb;tensorboard']),
  ],
)
def test_edges(name, fits, does_not):
  for value in fits:
    ranges.check_value(ranges.RANGES[name], value, name)
  for value in does_not:
    with pytest.raises(BadInput):
      ranges.check_value(ranges.RANGES[name], value, name)


@pytest.mark.parametrize(
  ('names', 'known'),
  [
    ('gen.norm', norm.NORMS),
    ('gen.padding', conv.PADDINGS),
    ('gen.upsample', conv.UPSAMPLES),
    ('gen.downsample', conv.DOWNSAMPLES),
    ('loss.gan', (*objectives.OBJECTIVES, 'none')),
    ('optim.schedule', optim.SCHEDULES),
    ('precision', precision.PRECISIONS),
    ('diffaugment', diffaugment.TRANSFORMS),
    ('writers', writers.KNOWN),
    ('data.name', fields.OURS['data.name']),
    ('method', fields.OURS['method']),
  ],
)
def test_the_choices_are_those_of_the_code(names, known):
  assert set(ranges.RANGES[names].options) == set(known)


def test_the_counts_are_those_of_the_code():
  assert ranges.RANGES['disc.scales'].high == pyramid.MOST
  assert ranges.RANGES['loss.ms_ssim_levels'].high == len(multiscale.MS_SSIM_WEIGHTS)


def test_a_field_of_ones_own_needs_no_range():
  config = fields.defaults()
  config.mine, config.gen.mine = 'anything', -3.0
  ranges.check(config)
  config.gen.mine = math.nan
  with pytest.raises(BadInput, match=r'config.gen.mine = nan must be a finite number'):
    ranges.check(config)


def test_a_run_of_before_is_read_with_what_matters_no_more():
  """seed = 2^32 and ema = 1 were taken, and such a run still translates; sizes are what memory depends on."""
  from i2i_jax.config import from_dict

  values = to_dict(fields.defaults())
  assert from_dict({**values, 'seed': 2**32, 'ema': 1.0}).seed == 2**32
  for changed in (
    {'seed': 'x'},
    {'data': {**values['data'], 'crop_size': [10**6, 10**6]}},
    {'gen': 3},
    {'optim': []},
  ):
    with pytest.raises(BadInput, match=r'^run/config.json'):
      from_dict({**values, **changed}, 'run/config.json')


def test_fields_set_in_python_are_held_to_the_same(tiny):
  with pytest.raises(BadInput, match=r'config.steps = True'):
    override(tiny, {'steps': True})
    ranges.check(tiny)
