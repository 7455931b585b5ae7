"""Files of ours, read: JSON and JSONL. What is damaged is one line, with the file and what to do.

What a file must hold is its shape: a type; [shape] for a list; a dict of shapes by name, each of which it must have
but those that end in a question mark, and of the shape of all other names under str. A whole number is a float, too.
"""

import functools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from i2i_jax.errors import BadInput

NAMES = {
  dict: 'an object',
  list: 'a list',
  str: 'text',
  int: 'a whole number',
  float: 'a number',
  bool: 'true or false',
}

NOTES = {
  'started?': str,
  'seconds?': float,
  'command?': str,
  'data?': {'train?': int, 'val?': int, 'fingerprint?': str},
  'columns?': [str],
  'attention?': [str],
  'parameters?': {str: int},
  'cost?': {str: float},
  'devices?': str,
  'versions?': {str: str},
  'wandb?': str,
}
LINE = {'step': int, str: float}  # of metrics.jsonl
SCORES = {
  'protocol': str,
  'split': str,
  'direction': str,
  'step': int,
  'chosen': str,
  'images': int,
  'targets?': int,
  'weights?': str,
  'nets?': {str: {str: str}},
  'unlike?': {str: float},
  'scores': {str: {str: float}},
  'deviations?': {str: {str: float}},
  'per_image': {str: {str: [float]}},
}
RESULT = {
  'step': int,
  'scores': {str: [float]},
  'set_scores?': {str: float},
  'curves?': {str: [[float]]},
  'cost': {str: float},
  'seconds': float,
  'fingerprints': {str: str},
}
WIDTHS = {str: {'wanted': dict, 'ratio': float, 'widths': [int]}}  # of a sweep's variants
ABOUT = {'command?': str, 'started': str, 'seconds': float, 'runs': int}  # of a sweep
KEPT = {'files': [str]}  # pictures in a folder of them
META = {'config': dict, 'fingerprint': str, 'rng': [int], 'data': object}  # of a checkpoint


def read_json(path: Path, shape: Any = dict, remedy: str = '') -> Any:
  """What a file holds. Raises BadInput where it cannot be read or has another shape; `remedy` says what to do."""
  try:
    text = path.read_text(encoding='utf-8')
  except UnicodeDecodeError:
    raise BadInput(told(path, 'not text', remedy)) from None
  except OSError as error:
    raise BadInput(told(path, error.strerror or 'cannot be read', remedy, 'cannot be read')) from None
  try:
    value = json.loads(text)
  except (ValueError, RecursionError):
    raise BadInput(told(path, 'not JSON' if text.strip() else 'empty', remedy)) from None
  return checked(value, shape, path, remedy)


def read_or(default: Any, path: Path, shape: Any, remedy: str) -> Any:
  """What a file holds, or `default`: where it is not there, or, with a warning, where it is damaged."""
  if not path.exists():
    return default
  try:
    return read_json(path, shape, remedy)
  except BadInput as error:
    warn(str(error))
    return default


@functools.cache
def warn(text: str) -> None:
  """Once, however often a command reads the file."""
  print(f'warning: {text}', file=sys.stderr)


def read_lines(path: Path, shape: Any) -> list[dict]:
  """The lines of a JSONL file, without those that are damaged, as the last one is after a kill."""
  try:
    lines = path.read_bytes().splitlines() if path.is_file() else []
  except OSError as error:
    raise BadInput(told(path, error.strerror or '', '', 'cannot be read')) from None
  found = []
  for line in lines:
    try:
      value = json.loads(line)
    except (ValueError, RecursionError):
      continue
    if next(faults(value, shape), None) is None:
      found.append(value)
  return found


def checked(value: Any, shape: Any, where: object, remedy: str = '') -> Any:
  """`value`, which has the `shape`. Raises BadInput for another one; `where` is the file."""
  fault = next(faults(value, shape), None)
  if fault is not None:
    raise BadInput(told(where, fault, remedy))
  return value


def told(where: object, fault: str, remedy: str, what: str = 'is damaged') -> str:
  return f'{where} {what}: {fault}' + (f'; {remedy}' if remedy else '')


def faults(value: Any, shape: Any, at: str = '') -> Iterator[str]:
  """What of a value is not as `shape` says, like "'scores.psnr' is text, not a number"."""
  kind = shape if isinstance(shape, type) else type(shape)
  right = isinstance(value, int | float if kind is float else kind) and (kind is bool or not isinstance(value, bool))
  if isinstance(value, int) and abs(value) >= 2**63 and shape is not object:
    yield f'{f"{at!r}" if at else "it"} is a number of more than 64 bits'
  elif not right and shape is not object:
    has = NAMES.get(type(value), 'null' if value is None else type(value).__name__)
    yield f'{f"{at!r}" if at else "it"} is {has}, not {NAMES[kind]}'
  elif isinstance(shape, list):
    for i, part in enumerate(value):
      yield from faults(part, shape[0], f'{at}[{i}]')
  elif isinstance(shape, dict):
    named = {name.removesuffix('?'): part for name, part in shape.items() if name is not str}
    for name, part in value.items():
      if name in named or str in shape:
        yield from faults(part, named.get(name, shape.get(str)), f'{at}.{name}'.lstrip('.'))
    yield from (
      f'it lacks {f"{at}.{name}".lstrip(".")!r}'
      for name in shape
      if name is not str and not (name.endswith('?') or name in value)
    )
