"""Ways in which a file of a run is damaged, and all small changes of what a JSON file says."""

import copy
import json
from collections.abc import Iterator

DAMAGE = {
  'cut': lambda data: data[: len(data) // 2],
  'empty': lambda data: b'',
  'binary': lambda data: bytes(range(256)) * 4,
  'list': lambda data: b'[]\n',
  'null': lambda data: b'null',
  'number': lambda data: b'3',
  'text': lambda data: b'"x"',
  'nested': lambda data: b'[' * 100_000,
}
OTHERS = (None, 'x', [], -1.5, 1e999, 10**400, {'x': 'x'})  # in place of a value


def variants(data: bytes) -> Iterator[bytes]:
  """`data` damaged in all ways; of JSON, or the last line of JSONL, also each key left out or of another type."""
  yield from (damage(data) for damage in DAMAGE.values())
  lines = data.decode().splitlines()
  try:
    before, value = b'', json.loads(data)
  except ValueError:
    before, value = '\n'.join(lines[:-1]).encode() + b'\n', json.loads(lines[-1])
  yield from (before + json.dumps(changed).encode() for changed in changes(value))


def changes(value: dict, depth: int = 2) -> Iterator[dict]:
  for name in value:
    yield {k: v for k, v in value.items() if k != name}
    for other in OTHERS:
      if type(other) is not type(value[name]) or not isinstance(other, str | bool):
        yield {**value, name: other}
    if isinstance(value[name], dict) and depth > 1:
      yield from ({**copy.copy(value), name: part} for part in changes(value[name], depth - 1))
