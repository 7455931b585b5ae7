"""PyTorch's files of tensors (.pth, .pt), read without PyTorch and without pickle: nothing in a file can be executed.

Both formats: the zip archive of torch.save since 1.6, and the row of pickles before it. Of pickle's language a few
words are understood, those that make containers, numbers, texts and tensors.
"""

import contextlib
import io
import math
import mmap
import pickletools
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

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
MOST_WORDS = 1_000_000  # of a pickle; a net of a thousand tensors has some 40,000
MOST_PICKLED = 1 << 26  # bytes of a zip archive's pickle

CALLED = ('collections.OrderedDict', 'torch._utils._rebuild_tensor_v2', 'torch._utils._rebuild_parameter')
VALUES = {
  *('BININT', 'BININT1', 'BININT2', 'LONG1', 'LONG4', 'BINFLOAT'),
  *('BINUNICODE', 'SHORT_BINUNICODE', 'BINSTRING', 'SHORT_BINSTRING'),
}
CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False}
LISTS = {'EMPTY_LIST': list, 'EMPTY_TUPLE': tuple, 'EMPTY_DICT': dict}
MARK = object()


class Unsafe(ValueError):
  """A file asks for more than tensors and containers of them."""


class Name(NamedTuple):
  """Something of Python's that a pickle names, like 'torch.FloatStorage'; it is never looked up."""

  name: str


class Storage(NamedTuple):
  key: str
  dtype: np.dtype
  count: int


class Tensor(NamedTuple):
  storage: Storage
  offset: int
  size: tuple[int, ...]
  stride: tuple[int, ...]


def read(path: Path) -> Any:
  """What torch.save wrote, tensors as arrays.

  Raises:
    Unsafe: it holds more than tensors and containers of them.
    Exception: whatever else zipfile and NumPy make of a file that is none, or damaged.
  """
  with open(path, 'rb') as file:
    if zipfile.is_zipfile(file):
      return read_archive(file)
    with contextlib.closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as whole:
      return read_pickles(whole)


def read_archive(file: BinaryIO) -> Any:
  with zipfile.ZipFile(file) as archive:
    stored = {}
    for entry in archive.infolist():
      if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f'{entry.filename} in it is compressed, which torch.save never does')
      stored[entry.filename] = entry
    (main,) = (name for name in stored if name.endswith('/data.pkl'))
    root = main.removesuffix('data.pkl')
    if f'{root}byteorder' in stored and archive.read(f'{root}byteorder') != b'little':
      raise ValueError('its numbers are not little-endian')
    if stored[main].file_size > MOST_PICKLED:
      raise ValueError(f'its pickle has {stored[main].file_size:,} bytes')
    found = load(io.BytesIO(archive.read(main)))

    def numbers(storage: Storage) -> np.ndarray:
      name = f'{root}data/{storage.key}'
      if stored[name].file_size < storage.count * storage.dtype.itemsize:
        raise ValueError(f'{name} in it has fewer than {storage.count:,} numbers')
      return np.frombuffer(bytearray(archive.read(name)), storage.dtype, storage.count)

    return filled(found, numbers, file.seek(0, io.SEEK_END))


def read_pickles(file: mmap.mmap) -> Any:
  """Magic number, version, system, the object, the storages' keys; then each storage: its length and its bytes."""
  if load(file) != MAGIC:
    raise ValueError('it is no file of torch.save')
  load(file), load(file)
  found, keys = load(file), load(file)
  sizes = {tensor.storage.key: tensor.storage for tensor in tensors(found)}
  places: dict[str, int] = {}
  for key in keys:
    count, place = int.from_bytes(file.read(8), 'little'), file.tell()
    if key not in sizes or count != sizes[key].count:
      raise ValueError(f'its storage {str(key)[:40]!r} is of another size than its tensors say')
    if place + count * sizes[key].dtype.itemsize > len(file):
      raise ValueError('it is cut')
    places[key] = place
    file.seek(place + count * sizes[key].dtype.itemsize)

  def numbers(storage: Storage) -> np.ndarray:
    data = file[places[storage.key] : places[storage.key] + storage.count * storage.dtype.itemsize]
    return np.frombuffer(bytearray(data), storage.dtype, storage.count)

  return filled(found, numbers, len(file))


def load(file: io.BytesIO | mmap.mmap) -> Any:
  """One pickle, tensors as `Tensor`. Raises Unsafe for any word that is not needed for these."""
  stack: list[Any] = []
  memo: dict[int, Any] = {}
  for count, (word, given, _) in enumerate(pickletools.genops(cast(BinaryIO, file))):
    if count > MOST_WORDS:
      raise ValueError(f'its pickle has more than {MOST_WORDS:,} words')
    name = word.name
    if name in ('PROTO', 'FRAME'):
      continue
    if name == 'STOP':
      return stack.pop()
    if name in VALUES:
      stack.append(given)
    elif name in CONSTANTS:
      stack.append(CONSTANTS[name])
    elif name in LISTS:
      stack.append(LISTS[name]())
    elif name == 'MARK':
      stack.append(MARK)
    elif name in ('BINPUT', 'LONG_BINPUT', 'MEMOIZE'):
      memo[len(memo) if given is None else given] = stack[-1]
    elif name in ('BINGET', 'LONG_BINGET'):
      stack.append(memo[cast(int, given)])
    elif name in ('GLOBAL', 'STACK_GLOBAL'):
      parts = given.split(' ', 1) if given else [stack.pop(), stack.pop()][::-1]
      stack.append(named('.'.join(parts)))
    else:
      combine(name, stack)
  raise ValueError('it is cut')


def combine(name: str, stack: list) -> None:
  """What a word makes of the values that lie on top."""
  if name in ('TUPLE', 'APPENDS', 'SETITEMS'):
    place = len(stack) - 1 - stack[::-1].index(MARK)
    values = stack[place + 1 :]
    del stack[place:]
  else:
    count = {
      'TUPLE1': 1,
      'TUPLE2': 2,
      'TUPLE3': 3,
      'APPEND': 1,
      'SETITEM': 2,
      'REDUCE': 1,
      'BUILD': 1,
      'BINPERSID': 1,
    }
    if name not in count:
      raise Unsafe(f'it holds the word {name}')
    values = stack[len(stack) - count[name] :]
    del stack[len(stack) - count[name] :]
  if name.startswith('TUPLE'):
    stack.append(tuple(values))
  elif name.startswith('APPEND'):
    of(stack[-1], list).extend(values)
  elif name.startswith('SETITEM'):
    keys = values[::2]
    if not all(isinstance(key, str | int) for key in keys):
      raise Unsafe('it has a dict whose keys are no names')
    of(stack[-1], dict).update(zip(keys, values[1::2], strict=True))
  elif name == 'BINPERSID':
    stack.append(storage(values[0]))
  elif name == 'REDUCE':
    stack.append(called(of(stack.pop(), Name).name, of(values[0], tuple)))
  else:  # BUILD: attributes, like the _metadata of a state dict, which nothing reads
    of(stack[-1], dict)


def of(value: Any, kind: type) -> Any:
  if not isinstance(value, kind):
    raise ValueError(f'a {kind.__name__} should be where a {type(value).__name__} is')
  return value


def named(name: str) -> Name:
  if name not in CALLED and name.removeprefix('torch.') not in TYPES:
    raise Unsafe(f'it holds {name[:80]}')
  return Name(name)


def storage(pid: Any) -> Storage:
  _, kind, key, _, count, *_ = of(pid, tuple)
  dtype = np.dtype(TYPES[of(kind, Name).name.removeprefix('torch.')])
  if of(count, int) < 0:
    raise ValueError('a storage of fewer than no numbers')
  return Storage(of(key, str), dtype, count)


def called(name: str, given: tuple) -> Any:
  """What the three functions that torch.save names would make, without calling them."""
  if name == 'collections.OrderedDict':
    return {key: value for key, value in (of(given[0], list) if given else ()) if isinstance(key, str)}
  if name == 'torch._utils._rebuild_parameter':
    return of(given[0], Tensor)
  if name != 'torch._utils._rebuild_tensor_v2':
    raise Unsafe(f'it calls {name}')
  size, stride = (tuple(of(n, int) for n in of(values, tuple)) for values in given[2:4])
  found = Tensor(of(given[0], Storage), of(given[1], int), size, stride)
  if min((found.offset, *size, *stride, 0)) < 0 or len(size) > 32:
    raise ValueError('a tensor of no such shape')
  last = found.offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
  if min(size, default=1) > 0 and last >= found.storage.count:
    raise ValueError('a tensor reaches beyond its storage')
  if math.prod(size) > found.storage.count:
    raise ValueError('a tensor repeats its storage')
  return found


def tensors(found: Any) -> Iterator[Tensor]:
  """Of a dict, those that its values are."""
  if isinstance(found, dict):
    yield from (value for value in found.values() if isinstance(value, Tensor))


def filled(found: Any, numbers: Callable[[Storage], np.ndarray], size: int) -> Any:
  """A dict with arrays in place of its tensors. `size`: of the file, which they all come from."""
  if sum(math.prod(tensor.size) * tensor.storage.dtype.itemsize for tensor in tensors(found)) > size:
    raise ValueError('its tensors have more numbers than the file')
  kept: dict[Storage, np.ndarray] = {}

  def array(tensor: Tensor) -> np.ndarray:
    if tensor.storage not in kept:
      kept[tensor.storage] = numbers(tensor.storage)
    whole = kept[tensor.storage]
    steps = tuple(step * whole.itemsize for step in tensor.stride)
    return np.lib.stride_tricks.as_strided(whole[tensor.offset :], tensor.size, steps)

  if not isinstance(found, dict):
    return found
  return {key: array(value) if isinstance(value, Tensor) else value for key, value in found.items()}
