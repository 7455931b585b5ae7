"""Configs: loaded from files and the command line, checked, compared, kept as JSON."""

import functools
import json
import math
import operator
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from i2i_jax.errors import BadInput, choice, nearest
from i2i_jax.fields import OURS, READ_BY, RENAMED_FIELDS, SIGNED, defaults

PACKAGE = Path(__file__).parent
# In a wheel configs lie in the package, in a checkout beside it.
FOLDER = next(f for f in (PACKAGE / 'configs', PACKAGE.parent / 'configs') if f.is_dir())
RENAMED = re.compile(r'(pix2pix|cyclegan|ugatit|pix2pixhd)_(earth|folder)')  # in 0.1


def check_numbers(config: ml_collections.ConfigDict, where: str = 'config') -> None:
  """No number of this project's configs but those in SIGNED has a use below zero, and none when it is not finite."""
  for name, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      check_numbers(value, f'{where}.{name}')
    signed = f'{where}.{name}'.removeprefix('config.') in SIGNED
    for number in value if isinstance(value, tuple | list) else [value]:
      if isinstance(number, int | float) and not (math.isfinite(number) and (signed or number >= 0)):
        raise BadInput(f'{where}.{name} = {value} must be a finite number' + (', zero or more' if not signed else ''))


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


def load(argv: list[str], *, unread: str = 'refused') -> ml_collections.ConfigDict:
  """The config of command-line arguments like ['--config=pix2pix:size=64', '--config.optim.lr=1e-3'].

  A name is that of a config of this package, a path that of a file: also a config.json that a run wrote. A field that
  is set though nothing reads it is refused, unless `unread` is 'kept'.

  Raises:
    BadInput: no such file, an unknown field (with the nearest name), a value of another type or below zero.
  """
  spec = next((a for a in argv if a.startswith('--config=')), '--config=')
  argv = [located(spec), *(a for a in argv if a != spec)]
  spec = argv[0]
  fields, _ = parse([spec])
  for flag in (a.partition('=')[0] for a in argv if a.startswith('--config.')):
    check_field(fields, flag)
  config, stray = parse(argv)
  if stray:
    raise BadInput(f'{stray[0]!r} is not an option; a field of the config is set by --config.NAME=VALUE')
  check_numbers(config)
  if unread == 'refused':
    check_read(config, [a.partition('=')[0].removeprefix('--config.') for a in argv if a.startswith('--config.')])
  return config


def located(spec: str) -> str:
  """'--config=NAME:ARGUMENT' with the path of its file in place of a name. Raises BadInput where there is none."""
  name, colon, argument = spec.removeprefix('--config=').partition(':')
  path = Path(name)
  if path.is_file():
    return spec
  if renamed := RENAMED.fullmatch(path.stem):
    method, data = renamed.groups()
    raise BadInput(f'--config={name}: it is now --config={method}:data={data}, and the other arguments after that')
  known = {file.relative_to(FOLDER).with_suffix('').as_posix(): file for file in sorted(FOLDER.rglob('[!_]*.py'))}
  folders = {Path(other).parts[0] for other in known if '/' in other}  # like reproduce/
  if not name or path.suffix or (len(path.parts) > 1 and path.parts[0] not in folders):
    raise BadInput(f'--config: there is no file {path}; a config of this package has a name: {", ".join(known)}')
  return f'--config={known[choice("--config", name, known)]}{colon}{argument}'


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


def check_field(config: ml_collections.ConfigDict, flag: str) -> None:
  """Raises BadInput, with the nearest name, unless `flag`, like '--config.optim.lr', names a field."""
  node = config
  _, _, field = flag.partition('.')
  if field in RENAMED_FIELDS:
    raise BadInput(f'{flag}: it is now {flag.rpartition(".")[0]}.{RENAMED_FIELDS[field]}')
  for name in flag.split('.')[1:]:
    known = node.keys() if isinstance(node, ml_collections.ConfigDict) else ()
    if name not in known:
      raise BadInput(f'{flag}: the config has no such field: {nearest(name, known)}')
    node = node[name]


def check_read(config: ml_collections.ConfigDict, names: Iterable[str]) -> None:
  """Raises BadInput for a field that was set though the chosen method, net or source does not read it."""
  for name in names:
    owner, values = READ_BY.get(name, ('', ()))
    if owner and (chosen := value_at(config, owner)) in OURS[owner] and chosen not in values:
      readers = ' or '.join(map(str, values))
      raise BadInput(f'config.{name} is read by config.{owner} = {readers}, and not by {chosen}: leave it out')


def value_at(config: ml_collections.ConfigDict, name: str) -> Any:
  """The value of a field named like 'optim.lr'."""
  return functools.reduce(operator.getitem, name.split('.'), config)


def override(config: ml_collections.ConfigDict, fields: dict) -> None:
  """Sets fields named like 'optim.lr'; those of a dict in place of a dict, whole.

  Raises:
    BadInput: an unknown field (with the nearest name), or a value of another type.
  """
  for name, value in fields.items():
    check_field(config, f'--config.{name}')
    *path, last = name.split('.')
    node = functools.reduce(operator.getitem, path, config)
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


def completed(values: dict) -> dict:
  """A config that `to_dict` gave, maybe long ago: under today's names, and with defaults for what it lacks."""

  def filled(known, given, where):
    given = {RENAMED_FIELDS.get(where + name, name): value for name, value in given.items()}
    groups = {name: of for name, of in known.items() if isinstance(of, dict)}
    inner = {name: filled(of, given.get(name, {}), f'{where}{name}.') for name, of in groups.items()}
    return {**known, **given, **inner}

  return filled(to_dict(defaults()), values, '')


def from_dict(values: dict) -> ml_collections.ConfigDict:
  """The config that `to_dict` gave, `completed`; sizes are tuples again."""

  def tuples(value):
    if isinstance(value, dict):
      return {name: tuples(v) for name, v in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list) else value

  return ml_collections.ConfigDict(tuples(completed(values))).lock()
