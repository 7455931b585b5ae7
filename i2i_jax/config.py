"""What a user may get wrong, said in one line: errors, choices with the nearest name, and a config's numbers."""

import difflib
import json
import math
from pathlib import Path

import ml_collections
from absl import flags
from ml_collections import config_flags


class BadInput(ValueError):
  """Something given is wrong: found before anything is created. Commands print it and exit with 2."""


class RunFault(RuntimeError):
  """Something went wrong while running. Commands print it and exit with 1."""


def nearest(name: str, options) -> str:
  """'; did you mean X?' or '; it is one of A, B', to append to an error."""
  options = [str(o) for o in options]
  close = difflib.get_close_matches(str(name), options, n=1, cutoff=0.5)
  known = ', '.join(sorted(options))
  return f'did you mean {close[0]!r}? (it is one of {known})' if close else f'it is one of {known}'


def choice(where: str, value: str, options) -> str:
  """Returns `value` if it is one of `options`, else raises BadInput naming the field and the nearest option."""
  if value in options:
    return value
  raise BadInput(f'{where} = {value!r} is not known: {nearest(value, options)}')


def check_numbers(config: ml_collections.ConfigDict, where: str = 'config'):
  """No number of this project's configs has a use below zero, or when it is not finite."""
  for name, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      check_numbers(value, f'{where}.{name}')
    for number in value if isinstance(value, tuple | list) else [value]:
      if isinstance(number, int | float) and not (math.isfinite(number) and number >= 0):
        raise BadInput(f'{where}.{name} = {value} must be a finite number, zero or more')


def differences(old: dict, new: dict, where: str = 'config') -> list[str]:
  """Lines 'config.optim.lr: 0.1 -> 0.2' for each field in which two nested dicts differ."""
  lines = []
  for name in sorted({*old, *new}):
    a, b = old.get(name, '(none)'), new.get(name, '(none)')
    if isinstance(a, dict) and isinstance(b, dict):
      lines += differences(a, b, f'{where}.{name}')
    elif a != b:
      lines.append(f'{where}.{name}: {a} -> {b}')
  return lines


def load(argv: list[str]) -> ml_collections.ConfigDict:
  """The config of command-line arguments like ['--config=configs/x.py:size=64', '--config.optim.lr=1e-3'].

  The file may also be a config.json that a run wrote.

  Raises:
    BadInput: no such file, an unknown field (with the nearest name), a value of another type or below zero.
  """
  spec = next((a for a in argv if a.startswith('--config=')), '--config=')
  name = spec.removeprefix('--config=')
  path = Path(name if name.endswith('.json') else name.partition(':')[0])
  if not path.is_file():
    raise BadInput(f'--config: there is no file {path}; see configs/')
  fields, _ = parse([spec])
  for flag in (a.partition('=')[0] for a in argv if a.startswith('--config.')):
    check_field(fields, flag)
  config, stray = parse(argv)
  if stray:
    raise BadInput(f'{stray[0]!r} is not an option; a field of the config is set by --config.NAME=VALUE')
  check_numbers(config)
  return config


def parse(argv: list[str]) -> tuple[ml_collections.ConfigDict, list[str]]:
  """What ml_collections makes of the arguments, and those that it did not know what to do with."""
  values = flags.FlagValues()
  written = next((a.removeprefix('--config=') for a in argv if a.startswith('--config=') and a.endswith('.json')), '')
  if written:
    argv = [a for a in argv if not a.startswith('--config=')]
    config = from_dict(read_json(Path(written)))
    holder = config_flags.DEFINE_config_dict('config', config, flag_values=values, sys_argv=argv, lock_config=True)
  else:
    holder = config_flags.DEFINE_config_file('config', flag_values=values, sys_argv=argv, lock_config=True)
  try:
    stray = values(['', *argv])[1:]
  except flags.Error as error:  # its last line is the config file's own error, where that is the cause
    raise BadInput(str(error).strip().splitlines()[-1].removeprefix('ValueError: ')) from None
  return holder.value, stray


def check_field(config: ml_collections.ConfigDict, flag: str):
  """Raises BadInput, with the nearest name, unless `flag`, like '--config.optim.lr', names a field."""
  node = config
  for name in flag.split('.')[1:]:
    known = node.keys() if isinstance(node, ml_collections.ConfigDict) else ()
    if name not in known:
      raise BadInput(f'{flag}: the config has no such field: {nearest(name, known)}')
    node = node[name]


def override(config: ml_collections.ConfigDict, fields: dict):
  """Sets fields named like 'optim.lr'; those of a dict in place of a dict, whole.

  Raises:
    BadInput: an unknown field (with the nearest name), or a value of another type.
  """
  for name, value in fields.items():
    check_field(config, f'--config.{name}')
    *path, last = name.split('.')
    node = config
    for part in path:
      node = node[part]
    try:
      with node.unlocked():
        node[last] = ml_collections.ConfigDict(value) if isinstance(value, dict) else value
    except (TypeError, ValueError) as error:
      raise BadInput(f'config.{name} = {value!r}: {error}') from None


def read_json(path: Path) -> dict:
  try:
    return json.loads(path.read_text())
  except json.JSONDecodeError:
    raise BadInput(f'{path} is damaged: not JSON') from None


def to_dict(config: ml_collections.ConfigDict) -> dict:
  """Plain JSON values: tuples as lists."""
  return json.loads(json.dumps(config.to_dict()))


def from_dict(values: dict) -> ml_collections.ConfigDict:
  """The config that `to_dict` gave: sizes are tuples again."""

  def tuples(value):
    if isinstance(value, dict):
      return {name: tuples(v) for name, v in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list) else value

  return ml_collections.ConfigDict(tuples(values)).lock()
