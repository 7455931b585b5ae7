"""Configs: loaded from files and the command line, checked, compared, kept as JSON."""

import functools
import json
import operator
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from i2i_jax import ranges
from i2i_jax.errors import BadInput, choice, nearest
from i2i_jax.fields import OURS, READ_BY, RENAMED_FIELDS, defaults
from i2i_jax.registry import run_file, users_code
from i2i_jax.runs import stored

PACKAGE = Path(__file__).parent
# In a wheel configs lie in the package, in a checkout beside it.
FOLDER = next(f for f in (PACKAGE / 'configs', PACKAGE.parent / 'configs') if f.is_dir())
RENAMED = re.compile(r'(pix2pix|cyclegan|ugatit|pix2pixhd)_(earth|folder)')  # in 0.1
SETTING = re.compile(r'flag --config\.([\w.]+)=(.*?): ')  # as absl begins what it says of a value


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
    BadInput: no such file, or one that is none of ours, an unknown field (with the nearest name), a value of another
      type or out of its range.
  """
  spec = next((a for a in argv if a.startswith('--config=')), '--config=')
  config = initial(located(spec.removeprefix('--config=')))
  given = [a for a in argv if a != spec]
  names = [a.partition('=')[0] for a in given if a.startswith('--config.')]
  for name in names:
    check_field(config, name)
  config, stray = with_fields(config, given)
  if stray:
    raise BadInput(f'{stray[0]!r} is not an option; a field of the config is set by --config.NAME=VALUE')
  ranges.check(config)
  if unread == 'refused':
    check_read(config, [name.removeprefix('--config.') for name in names])
  return config


def located(spec: str) -> str:
  """'NAME:ARGUMENT' with the path of its file in place of a name. Raises BadInput where there is none."""
  name, colon, argument = spec.partition(':')
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
  return f'{known[choice("--config", name, known)]}{colon}{argument}'


def initial(spec: str) -> ml_collections.ConfigDict:
  """The config of a file, 'PATH:ARGUMENT', as it is before fields are set. Raises BadInput where it gives none."""
  name, colon, argument = spec.partition(':')
  path, where = Path(name), f'--config={name}'
  if path.suffix == '.json':
    return from_dict(stored.read_json(path), name)
  module = run_file(path, where)
  if not callable(getattr(module, 'get_config', None)):
    raise BadInput(f'{where} has no function get_config(arg), which returns the config')
  with users_code(where):
    config = module.get_config(*([argument] if colon else []))
  if not isinstance(config, ml_collections.ConfigDict):
    kind = type(config).__name__
    raise BadInput(f'{where}: its get_config returns {kind}; it must return i2i_jax.fields.defaults(), edited')
  fields = dict(ranges.flat(config))
  if lacking := [field for field, _ in ranges.flat(defaults()) if field not in fields]:
    raise BadInput(f'{where}: its config lacks {lacking[0]}; it must return i2i_jax.fields.defaults(), edited')
  return config.lock()


def with_fields(config: ml_collections.ConfigDict, argv: list[str]) -> tuple[ml_collections.ConfigDict, list[str]]:
  """A config with the fields that the arguments set, and those that ml_collections did not know what to do with."""
  values = flags.FlagValues()
  holder = config_flags.DEFINE_config_dict('config', config, flag_values=values, sys_argv=argv, lock_config=True)
  try:
    stray = values(['', *argv])[1:]
  except flags.Error as error:
    text = ' '.join(str(error).split())
    if (found := SETTING.match(text)) and (allowed := ranges.RANGES.get(found[1])):
      text = f'--config.{found[1]}={found[2]}: it must be {allowed.text()}'
    raise BadInput(text) from None
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


def to_dict(config: ml_collections.ConfigDict) -> dict:
  """Plain JSON values: tuples as lists."""
  return json.loads(json.dumps(config.to_dict()))


def completed(values: dict, where: str = 'config') -> dict:
  """A config that `to_dict` gave, maybe long ago: under today's names, and with defaults for what it lacks.

  Raises:
    BadInput: it is none; `where` is its file.
  """

  def filled(known, given, group):
    if not isinstance(given, dict):
      raise BadInput(f'{where} is damaged: {group.rstrip(".") or "a config"} is {given!r:.40}, not a group of fields')
    given = {RENAMED_FIELDS.get(group + name, name): value for name, value in given.items()}
    groups = {name: of for name, of in known.items() if isinstance(of, dict)}
    inner = {name: filled(of, given.get(name, {}), f'{group}{name}.') for name, of in groups.items()}
    return {**known, **given, **inner}

  return filled(to_dict(defaults()), values, '')


def from_dict(values: dict, where: str = 'config') -> ml_collections.ConfigDict:
  """The config that `to_dict` gave, `completed`; sizes are tuples again.

  Raises:
    BadInput: it is none, or a field has a value that it cannot have; `where` is its file.
  """

  def tuples(value):
    if isinstance(value, dict):
      return {name: tuples(v) for name, v in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list) else value

  try:
    config = ml_collections.ConfigDict(tuples(completed(values, where)))
  except (TypeError, ValueError, AttributeError) as error:  # of names that no field can have
    raise BadInput(f'{where} is damaged: {error}') from None
  ranges.check(config, where, stored=True)
  return config.lock()
