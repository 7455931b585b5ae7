"""The speed table: which numbers it makes of the turns, and that a row of it can be measured."""

import json

import pytest

from experiments.speed import __main__ as speed
from experiments.speed import rows as speed_rows
from experiments.speed import table as speed_table
from i2i_jax import methods
from i2i_jax.errors import BadInput


def turns(*walls, cpu=2.0):
  return [{'wall': wall, 'cpu': cpu * wall} for wall in walls]


def row(**turns_by_name):
  memory = {key: {'host': 100 * (1 + i), 'device': None} for i, key in enumerate(turns_by_name)}
  start = {'first': 9.0, 'start': 1.0, 'whole': 10.0, 'platform': 'cpu', 'device': 'x'}
  return {'platform': 'cpu', 'flops': 6e9, 'matmul_rate': 3e9, 'memory': memory, 'turns': turns_by_name} | {
    'first_cold': start,
    'first_torch': {key: 0.5 for key in turns_by_name if key != 'ours'},
    'devices': {'ours': 'JAX'},
  }


def test_a_ratio_is_the_median_of_rounds_by_the_best_variant():
  found = speed.summary(
    row(ours=turns(3, 2, 8), eager=turns(4, 4, 4), best=turns(2, 1, 2, cpu=4.0), dropped=turns(0.1, 0.1))
  )
  assert found['best'] == 'best'  # the one that was left out in between is no rival
  assert found['ratio_wall'] == [2.0, 1.5, 4.0]
  assert found['ratio_cpu'] == [1.0, 0.75, 2.0]
  assert (found['ours_s'], found['torch_s']) == (3, 2)
  assert found['of_matmul'] == pytest.approx(6 / 3 / 3)
  assert found['torch_of_matmul'] == pytest.approx(6 / 2 / 3)
  assert found['memory_ratio'] == 100 / 300


def test_without_pytorch_there_is_a_table_without_ratios():
  measured = row(ours=turns(3, 2, 8))
  measured |= {'summary': speed.summary(measured), 'title': 'T', 'kind': 'train', 'commit': 'c', 'date': 'd'}
  measured |= {'machine': {'cpu': 'P', 'cores': 2, 'python': '3'}}
  text = speed_table.markdown({'x': measured})
  assert '| T | 3 s |' in text and 'ratio of CPU' in text


@pytest.mark.parametrize('name', [n for n, r in speed_rows.ROWS.items() if r.precision == 'float32'])
def test_each_row_is_a_method_that_can_be_built(name):
  config = speed_rows.config(speed_rows.ROWS[name])
  method = methods.get(config)
  assert ('gen_ab' in method.nets) == (config.method == 'cyclegan')


def test_bad_options_are_one_line():
  with pytest.raises(BadInput, match=r'did you mean .pix2pix_256'):
    speed.parse(['--rows=pix2pix_255'])
  with pytest.raises(BadInput, match=r'did you mean .channels_last'):
    speed.parse(['--rows=tiny', '--torch=channel_last'])


@pytest.mark.slow
def test_a_row_is_measured_saved_and_shown(command, tmp_path):
  done = command('experiments.speed', '--rows=tiny', '--torch=none', '--quick', '--rounds=1', f'--output={tmp_path}')
  assert done.returncode == 0, done.stderr
  assert 'pix2pix 32 px' in done.stdout and 'round 1 of 1' in done.stdout
  measured = json.loads((tmp_path / 'speed.json').read_text())['tiny']
  assert measured['summary']['ours_s'] > 0 and measured['memory']['ours']['host'] > 1e8
  assert (tmp_path / 'speed.md').read_text().count('pix2pix 32 px') == 2
