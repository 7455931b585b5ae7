"""Files of weights that lie, break, explode or would run something, of each format that there is."""

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

GOLDENS = Path(__file__).parent / 'goldens'
GOOD = ('tensors.pth', 'tensors_old.pth')
CLAIM = 1 << 34  # float32 numbers, of 64 GiB


class Harm:
  """Unpickled, it calls a function that would leave a mark."""

  def __init__(self, function: Callable, *given: object) -> None:
    self.made = function, given

  def __reduce__(self) -> tuple:
    return self.made


def archive(pickled: bytes, storages: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED) -> bytes:
  file = io.BytesIO()
  with zipfile.ZipFile(file, 'w', compression) as out:
    out.writestr('x/data.pkl', pickled)
    for key, data in (storages or {}).items():
      out.writestr(f'x/data/{key}', data)
  return file.getvalue()


def text(value: str) -> bytes:
  return b'X' + struct.pack('<I', len(value)) + value.encode()


def number(value: int) -> bytes:
  data = value.to_bytes(9, 'little', signed=True)
  return b'\x8a\x09' + data


def tuple_of(numbers: tuple[int, ...]) -> bytes:
  return b'(' + b''.join(map(number, numbers)) + b't'


def tensor(
  size: tuple[int, ...], stride: tuple[int, ...], count: int, offset: int = 0, kind: str = 'Float', key: str = '0'
) -> bytes:
  """The words that torch.save writes for a tensor."""
  pid = b'(' + text('storage') + f'ctorch\n{kind}Storage\n'.encode() + text(key) + text('cpu') + number(count) + b'tQ'
  ordered = b'ccollections\nOrderedDict\n)R'
  return (
    b'ctorch._utils\n_rebuild_tensor_v2\n('
    + pid
    + number(offset)
    + tuple_of(size)
    + tuple_of(stride)
    + b'\x89'
    + ordered
    + b'tR'
  )


def state_dict(tensors: dict[str, bytes]) -> bytes:
  return b'\x80\x02}(' + b''.join(text(name) + words for name, words in tensors.items()) + b'u.'


def plain(size: tuple[int, ...], kind: str = 'Float', key: str = '0') -> bytes:
  strides = tuple(int(np.prod(size[i + 1 :])) for i in range(len(size)))
  return tensor(size, strides, int(np.prod(size)), kind=kind, key=key)


def safetensors(header: object, data: bytes = b'', length: int | None = None) -> bytes:
  packed = header if isinstance(header, bytes) else json.dumps(header).encode()
  return struct.pack('<Q', len(packed) if length is None else length) + packed + data


def harms(mark: Path) -> dict[str, object]:
  touch = f'touch {mark}'
  return {
    'system': Harm(os.system, touch),
    'eval': Harm(eval, f'open({str(mark)!r}, "w")'),
    'exec': Harm(exec, f'open({str(mark)!r}, "w")'),
    'open': Harm(open, str(mark), 'w'),
    'getattr': Harm(getattr, 'x', 'upper'),
    'numpy': np.zeros(3),
    'import': Harm(__import__, 'antigravity'),
  }


def contents(mark: Path) -> Iterator[tuple[str, bytes]]:
  """(name, bytes) of each."""
  for name, harm in harms(mark).items():
    for protocol in (0, 2, 4) if name in ('system', 'eval') else (2,):
      packed = pickle.dumps({'model.1.weight': harm}, protocol)
      yield f'{name}{protocol}.pth', archive(packed)
      yield f'{name}{protocol}_bare.pt', packed
  words = {
    'memo': b'\x80\x02Nr\xff\xff\xff\x7f.',
    'instance': b'\x80\x02(X\x01\x00\x00\x00aios\nsystem\n.',
    'object': b'\x80\x02(cos\nsystem\nX\x01\x00\x00\x00ao.',
    'newobj': b'\x80\x02cos\nsystem\n)\x81.',
    'extension': b'\x80\x02\x82\x01.',
    'long': b'\x80\x02\x8b\xff\xff\xff\x7f.',
    'bytes8': b'\x80\x04\x8e' + struct.pack('<Q', 1 << 40) + b'x.',
    'frame': b'\x80\x04\x95' + struct.pack('<Q', 1 << 60) + b'N.',
    'laughs': b'\x80\x02)' + b'2\x86' * 60 + b'.',
    'laughing_key': b'\x80\x02})' + b'2\x86' * 60 + b'Ns.',
    'nothing': b'\x80\x02.',
    'marks': b'\x80\x02' + b'(' * 100_000 + b'.',
    'deep': b'\x80\x02' + b']' * 50_000 + b'a' * 49_999 + b'.',
    'build': b'\x80\x02ccollections\nOrderedDict\n)R}X\x09\x00\x00\x00__class__cos\nsystem\nsb.',
  }
  for name, packed in words.items():
    yield f'{name}.pth', archive(packed)
    yield f'{name}_bare.pt', packed
  name = 'model.1.weight'
  shapes = {
    'claim': tensor((CLAIM,), (1,), CLAIM),
    'repeated': tensor((1 << 17, 1 << 17), (0, 0), 4),
    'beyond': tensor((64,), (1,), 4),
    'before': tensor((2,), (1,), 4, offset=-2),
    'backwards': tensor((2,), (-1,), 4, offset=1),
    'scalar': plain(()),
    'flat': plain((4,)),
    'no_width': plain((0, 3, 7, 7)),
    'wide': tensor((1 << 20, 3, 7, 7), (0, 0, 0, 0), 4),
    'no_storage': plain((4,), key='nowhere'),
    'other_kind': plain((4,), kind='Quantized'),
  }
  for what, words_of in shapes.items():
    yield f'{what}.pth', archive(state_dict({name: words_of}), {'0': bytes(16)})
  yield 'list.pth', archive(pickle.dumps([1, 2]))
  yield 'shared.pth', archive(state_dict({f'x{i}': plain((1 << 20,)) for i in range(2000)}), {'0': bytes(4 << 20)})
  yield 'zip_bomb.pth', archive(state_dict({name: plain((1 << 28,))}), {'0': bytes(1 << 30)}, zipfile.ZIP_DEFLATED)
  yield 'pickle_bomb.pth', archive(b'\x80\x02' + b'N' * (1 << 28), compression=zipfile.ZIP_DEFLATED)
  yield 'two.pth', archive(state_dict({})) + archive(state_dict({}))
  yield 'empty.pth', b''
  yield 'text.pth', b'!!python/object/apply:os.system ["touch %s"]\n' % os.fsencode(mark)
  yield 'climbing.pth', archive(state_dict({name: plain((4,), key='../../../../etc/passwd')}), {'0': bytes(16)})
  for good in GOOD:
    whole = (GOLDENS / good).read_bytes()
    for share in (3, 5, 7):
      yield f'cut{share}_{good}', whole[: len(whole) * share // 8]
    rng = np.random.default_rng(0)
    for i in range(10):
      data = bytearray(whole)
      data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
      yield f'flipped{i}_{good}', bytes(data)
  four = bytes(16)
  entry = {'dtype': 'F32', 'shape': [4], 'data_offsets': [0, 16]}
  yield from (
    ('claim.safetensors', safetensors({name: {**entry, 'shape': [CLAIM], 'data_offsets': [0, 4 * CLAIM]}}, four)),
    ('long.safetensors', safetensors({name: entry}, bytes(16), length=1 << 40)),
    ('beyond.safetensors', safetensors({name: {**entry, 'data_offsets': [8, 24]}}, bytes(16))),
    ('object.safetensors', safetensors({name: {**entry, 'dtype': 'O'}}, bytes(16))),
    ('not_json.safetensors', safetensors(b'{' * 100_000)),
    ('list.safetensors', safetensors([1, 2])),
    ('empty.safetensors', b''),
    ('flat.safetensors', safetensors({name: entry}, bytes(16))),
    ('no_width.safetensors', safetensors({name: {**entry, 'shape': [0, 3, 7, 7], 'data_offsets': [0, 0]}})),
    ('pickle.safetensors', pickle.dumps(Harm(os.system, f'touch {mark}'))),
  )  # fmt: skip


def write(folder: Path, mark: Path) -> list[Path]:
  files = []
  for name, data in contents(mark):
    (folder / name).write_bytes(data)
    files.append(folder / name)
  return files
