"""What translate and evaluate write: never over an input, never over one another, never behind a link."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i_jax import cli, data, translate
from i2i_jax.errors import BadInput, one_line
from i2i_jax.evaluation import scoring
from i2i_jax.runs import outputs
from tests import hostile


def named(*names):
  return [outputs.Path(name) for name in names]


@pytest.mark.parametrize(
  ('files', 'wanted'),
  [
    (('a.png', 'a.jpg', 'a.jpg.png'), ['a.png.png', 'a.jpg.png', 'a.jpg.png.png']),
    (('a.png', 'b.jpg'), ['a.png', 'b.png']),
    (('A.png', 'a.png'), ['A.png.png', 'a.png-2.png']),
    (('a.png', 'a.png.png', 'a.png.png.png', 'a.tif'), None),
  ],
)
def test_outputs_never_share_a_name(files, wanted):
  found = outputs.names(named(*files), ['.png'] * len(files))
  assert wanted is None or found == wanted
  assert len({name.casefold() for name in found}) == len(files)


def test_inputs_are_never_replaced(run, tmp_path):
  """Not under another name of their folder either, and not with --overwrite."""
  folder = tmp_path / 'in'
  folder.mkdir()
  (folder / 'a.png').write_bytes(hostile.encoded('PNG', size=(16, 24)))
  before = (folder / 'a.png').read_bytes()
  (tmp_path / 'link').symlink_to(folder)
  for output in (folder, tmp_path / 'link', folder / '..' / 'in', outputs.Path(os.path.relpath(folder))):
    with pytest.raises(BadInput, match='the folder of the inputs, which are never replaced'):
      translate.translate(run, folder, output, overwrite=True)
  assert (folder / 'a.png').read_bytes() == before and len(list(folder.iterdir())) == 1


def test_where_nothing_can_be_written_it_is_said(run, tmp_path):
  (tmp_path / 'a.png').write_bytes(hostile.encoded('PNG', size=(16, 24)))
  (tmp_path / 'file').write_text('')
  (tmp_path / 'out').mkdir()
  (tmp_path / 'out' / 'a.png').symlink_to(tmp_path / 'nowhere')
  for output, words in (
    (tmp_path / 'file' / 'x', 'cannot be written: not a directory'),
    (outputs.Path('/proc/x'), 'cannot be written: no such file or directory'),
    (tmp_path / 'out', 'is there already'),
  ):
    with pytest.raises(BadInput, match=words) as refused:
      translate.translate(run, tmp_path / 'a.png', output)
    assert '\n' not in str(refused.value)


def test_names_of_a_data_set_stay_in_their_folder_and_fit():
  for name in ('../../x', '/etc/x', 'a\0b', 'x' * 300, 'é' * 200, '.hidden', '..', '', 'a\nb', '\udcff'):
    short = outputs.short(name, '_output.png')
    assert outputs.Path(short).name == short and len(os.fsencode(short)) <= 255 and short.endswith('_output.png')
    assert not short.startswith('.') and short != outputs.short(name + 'x', '_output.png')
  assert outputs.short('tile 1', '_input.png') == 'tile 1_input.png'


def test_a_message_is_one_line_of_text_whatever_it_names():
  assert one_line('a\nb\x1b[2J\udcff é') == 'a\\nb\\x1b[2J\\udcff é'


def test_an_error_of_the_disk_is_one_line(capsys):
  def fails():
    raise OSError(5, 'Input/output error', '/gone/x.png')

  assert cli.outcome(fails) == 1
  assert capsys.readouterr().err == 'error: /gone/x.png: Input/output error\n'


def test_good_ones_among_hostile_ones_are_written(run, tmp_path, capfd):
  folder, mark = tmp_path / 'in', tmp_path / 'mark'
  folder.mkdir()
  bad = [file for file in hostile.images(folder, mark) if file.name != 'circle.tif']
  good = [*(f'good{i}.png' for i in range(3)), 'x' * 251 + '.jpg', os.fsdecode(b'\xff\xfe.png')]
  for i, name in enumerate(good):
    (folder / name).write_bytes(hostile.encoded('JPEG' if name.endswith('jpg') else 'PNG', i))
  capfd.readouterr()
  assert translate.translate(run, folder, tmp_path / 'out') == len(bad)
  lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith('passed over')]
  assert len(lines) == len(bad) and all(any(f'/{file.name}: ' in line for line in lines) for file in bad)
  for name in good:
    with Image.open(tmp_path / 'out' / Path(name).with_suffix('.png').name) as found:
      assert found.size == (56, 40)
  assert not mark.exists() and not [p for p in (tmp_path / 'out').iterdir() if p.name.startswith('.')]


def test_pictures_behind_a_link_or_of_others_are_kept(run, tmp_path):
  other = tmp_path / 'mine'
  other.mkdir()
  (other / 'x_output.png').write_bytes(b'mine')
  (run / 'eval_test').symlink_to(other)
  with pytest.raises(BadInput, match='eval_test is a link'):
    scoring.evaluate(run)
  assert (other / 'x_output.png').read_bytes() == b'mine' and len(list(other.iterdir())) == 1
  (run / 'eval_test').unlink()
  (run / 'eval_test').mkdir()
  (run / 'eval_test' / 'x_output.png').write_bytes(b'mine')
  (run / 'eval_test' / 'old_output.png').write_bytes(b'ours')
  (run / 'eval_test' / 'pictures.json').write_text(json.dumps({'files': ['old_output.png', '../config.json']}))
  scoring.evaluate(run, rivals=False)
  there = {p.name for p in (run / 'eval_test').iterdir()}
  assert 'x_output.png' in there and 'old_output.png' not in there and (run / 'config.json').exists()
  assert np.count_nonzero([name.endswith('_target.png') for name in there]) == 4


def test_a_run_of_huge_images_is_refused_before_memory_is_taken(run, tiny):
  with tiny.unlocked():
    tiny.data.update({'crop_size': (10**6, 10**6), 'load_size': (10**6, 10**6)})
  with pytest.raises(BadInput, match=r'load_size = .* is more than 16,777,216 pixels'):
    data.check_sizes(tiny.data)
