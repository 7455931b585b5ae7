"""PyTorch's files of tensors (.pth, .pt), read without PyTorch. Nothing in a file is ever executed.

Both formats: the zip archive of torch.save since 1.6, and the row of pickles before it.
"""

import collections
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np

TYPES = {
  'FloatStorage': '<f4',
  'DoubleStorage': '<f8',
  'HalfStorage': '<f2',
  'LongStorage': '<i8',
  'IntStorage': '<i4',
  'ShortStorage': '<i2',
  'CharStorage': '<i1',
  'ByteStorage': '<u1',
  'BoolStorage': '?',
  'BFloat16Storage': ml_dtypes.bfloat16,
}
MAGIC = 0x1950A86A20F9469CFC6C  # of the older format


class Unsafe(pickle.UnpicklingError):
  """A file asks for more than tensors and containers of them."""


def read(path: Path) -> Any:
  """What torch.save wrote, tensors as arrays.

  Raises:
    Unsafe: it holds more than tensors and containers of them.
    Exception: whatever else pickle and zipfile make of a file that is none, or damaged.
  """
  with open(path, 'rb') as file:
    return read_archive(file) if zipfile.is_zipfile(path) else read_pickles(file)


def read_archive(file: IO[bytes]) -> Any:
  with zipfile.ZipFile(file) as archive:
    (main,) = (name for name in archive.namelist() if name.endswith('/data.pkl'))
    root = main.removesuffix('data.pkl')
    if f'{root}byteorder' in archive.namelist() and archive.read(f'{root}byteorder') != b'little':
      raise ValueError('its numbers are not little-endian')

    def storage(kind, key, numel):
      return np.frombuffer(bytearray(archive.read(f'{root}data/{key}')), kind, numel)

    with archive.open(main) as pickled:
      return Unpickler(pickled, storage).load()


def read_pickles(file: IO[bytes]) -> Any:
  """Magic number, version, system, the object, the storages' keys; then each storage: its length and its bytes."""
  storages: dict[str, np.ndarray] = {}

  def storage(kind, key, numel):
    return storages.setdefault(key, np.empty(numel, kind))

  def load():
    return Unpickler(file, storage).load()

  if load() != MAGIC:
    raise ValueError('it is no file of torch.save')
  load(), load()
  found, keys = load(), load()
  for key in keys:
    count = int.from_bytes(file.read(8), 'little')
    data = file.read(count * storages[key].itemsize)
    storages[key][:] = np.frombuffer(data, storages[key].dtype, count)
  return found


class Unpickler(pickle.Unpickler):
  """Of tensors and plain containers. `storage(dtype, key, numel)` gives the array that a tensor is a view of."""

  def __init__(self, file: IO[bytes], storage: Callable) -> None:
    super().__init__(file)
    self.storage = storage

  def find_class(self, module: str, name: str) -> Any:
    known = {
      ('collections', 'OrderedDict'): collections.OrderedDict,
      ('torch._utils', '_rebuild_tensor_v2'): tensor,
      ('torch._utils', '_rebuild_parameter'): lambda data, *rest: data,
    }
    if module == 'torch' and name in TYPES:
      return TYPES[name]
    if (module, name) not in known:
      raise Unsafe(f'it holds {module}.{name}')
    return known[module, name]

  def persistent_load(self, pid: tuple) -> np.ndarray:
    _, kind, key, _, numel, *_ = pid
    return self.storage(kind, key, numel)


def tensor(storage: np.ndarray, offset: int, size: tuple, stride: tuple, *rest: Any) -> np.ndarray:
  """A view of a storage; its strides are in elements."""
  last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
  if min(size, default=1) > 0 and not 0 <= offset <= last < len(storage):
    raise ValueError('a tensor reaches beyond its storage')
  steps = tuple(step * storage.itemsize for step in stride)
  return np.lib.stride_tricks.as_strided(storage[offset:], size, steps)
