"""PyTorch's files, read without PyTorch: tests/goldens/tensors.pth and tensors_old.pth are what torch.save wrote."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from i2i_jax import import_torch
from i2i_jax.errors import BadInput
from i2i_jax.exporting import torch_file, torch_weights
from tests import hostile_weights

GOLDENS = Path(__file__).parents[1] / 'goldens'
FILES = ('tensors.pth', 'tensors_old.pth')


@pytest.mark.parametrize('name', FILES)
def test_tensors_come_out_as_they_were_saved(name):
  found = torch_file.read(GOLDENS / name)
  base = np.arange(24, dtype=np.float32).reshape(4, 6)
  np.testing.assert_array_equal(found['transposed'], base.T)
  np.testing.assert_array_equal(found['part'], base[1:3, 2:5])
  assert found['long'] == 7 and found['long'].dtype == np.int64
  assert found['scalar'] == 2.5 and found['scalar'].dtype == np.float64
  np.testing.assert_array_equal(found['half'].astype(float), [1.5, -2])
  np.testing.assert_array_equal(found['brain'].astype(float), [1.5, -2.25])
  np.testing.assert_array_equal(found['param'], [1, 1])
  assert found['empty'].shape == (0, 3)


class Harm:
  """A pickle of it would run a command."""

  def __reduce__(self):
    return print, ('run',)


def test_nothing_in_a_file_is_run(tmp_path, capsys):
  with zipfile.ZipFile(tmp_path / 'harm.pth', 'w') as archive:
    archive.writestr('harm/data.pkl', pickle.dumps({'x': Harm()}))
  (tmp_path / 'old.pth').write_bytes(pickle.dumps(Harm()))
  for name in ('harm.pth', 'old.pth'):
    with pytest.raises(BadInput, match=r'holds more than tensors.*nothing was run: it holds builtins\.print'):
      torch_weights.read(tmp_path / name)
  assert capsys.readouterr().out == ''


@pytest.mark.parametrize('name', FILES)
def test_a_cut_file_is_refused_wherever_it_is_cut(name, tmp_path):
  whole = (GOLDENS / name).read_bytes()
  for length in range(0, len(whole) - 1, 7 if name == 'tensors_old.pth' else 41):
    (tmp_path / 'cut.pth').write_bytes(whole[:length])
    with pytest.raises(BadInput, match=r'cut\.pth is (truncated|no file)'):
      torch_weights.read(tmp_path / 'cut.pth')


def rebuilt(offset, size, stride, count=6):
  storage = torch_file.Storage('0', np.dtype(np.float32), count)
  return torch_file.called('torch._utils._rebuild_tensor_v2', (storage, offset, size, stride, False, {}))


def test_a_tensor_stays_within_its_storage():
  assert rebuilt(1, (5,), (1,)).size == (5,)
  for offset, size, stride in ((2, (5,), (1,)), (0, (2, 2), (5, 1))):
    with pytest.raises(ValueError, match='beyond its storage'):
      rebuilt(offset, size, stride)
  for offset, size, stride in ((-1, (2,), (1,)), (3, (3,), (-2,)), (0, (-1,), (1,)), (0, (1,) * 40, (1,) * 40)):
    with pytest.raises(ValueError, match='no such shape'):
      rebuilt(offset, size, stride)
  with pytest.raises(ValueError, match='repeats its storage'):
    rebuilt(0, (1 << 20, 1 << 20), (0, 0))


def test_what_holds_no_tensors_by_name_is_refused(tmp_path):
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w') as archive:
    archive.writestr('x/data.pkl', pickle.dumps([1, 2]))
  (tmp_path / 'x.pth').write_bytes(buffer.getvalue())
  with pytest.raises(BadInput, match=r"x\.pth is not a net's state dict: it holds list"):
    torch_weights.read(tmp_path / 'x.pth')


def test_hostile_files_are_refused_in_one_line(tmp_path):
  mark, count = tmp_path / 'mark', 0
  for file in hostile_weights.write(tmp_path, mark):
    if file.name.startswith('flipped'):  # of the older format, which has no checksums
      continue
    count += 1
    with pytest.raises(BadInput) as refused:
      import_torch.import_weights(file, 'resnet_6blocks', tmp_path / 'out')
    assert '\n' not in str(refused.value) and len(str(refused.value)) < 1000
  assert count > 80 and not mark.exists() and not (tmp_path / 'out').exists()


def test_tensors_never_have_more_numbers_than_the_file(tmp_path):
  small = {f'x{i}': hostile_weights.plain((4,)) for i in range(40)}
  (tmp_path / 'x.pth').write_bytes(hostile_weights.archive(hostile_weights.state_dict(small), {'0': bytes(16)}))
  assert len(torch_file.read(tmp_path / 'x.pth')) == 40
  large = {f'x{i}': hostile_weights.plain((1 << 16,)) for i in range(40)}
  file = hostile_weights.archive(hostile_weights.state_dict(large), {'0': bytes(4 << 16)})
  (tmp_path / 'x.pth').write_bytes(file)
  with pytest.raises(BadInput, match='more numbers than the file'):
    torch_weights.read(tmp_path / 'x.pth')
