"""What an experiment's file says, and the images that its variants are scored on."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from i2i_jax import ranges
from i2i_jax.config import check_read, load, override, value_at
from i2i_jax.errors import BadInput, choice
from i2i_jax.registry import run_file, users_code

SHOWN = ('psnr', 'ssim', 'swd', 'energy_1')
NAME = re.compile(r'[\w.+-]+')  # of a variant: a folder's name, too
TEXTS = {
  'CONFIG': '',
  'MATCH': '',
  'METRIC': 'psnr',
  'PROTOCOL': 'pixel',
}  # with what stands for one that is left out


class Experiment(NamedTuple):
  question: str  # the docstring
  config: str  # as after --config=
  fields: dict
  match: str
  metric: str
  protocol: str  # by which the runs are scored
  shown: tuple[str, ...]  # metrics in the tables that people read, `metric` first; files have all
  compare: list[tuple[str, str]]  # pairs of variants, besides each with the baseline
  variants: list[tuple[str, dict]]  # the baseline first


class Images(NamedTuple):
  """Of the test split, in order."""

  names: list[str]
  groups: list[str]  # see data.groups


def read_experiment(path: Path) -> Experiment:
  """Runs an experiment's file. Raises BadInput for what it lacks, and where it is no Python or raises."""
  if not path.is_file() or path.suffix != '.py':
    raise BadInput(f'--experiment: there is no Python file {path}; see experiments/')
  where = f'--experiment: {path}'
  module = run_file(path, where)
  for name in ('__doc__', 'CONFIG', 'sweep'):
    if not getattr(module, name, None):
      raise BadInput(f'{where} has no {"docstring" if name == "__doc__" else name}')
  texts = {name: getattr(module, name, default) for name, default in TEXTS.items()}
  for name, text in texts.items():
    if not isinstance(text, str):
      raise BadInput(f'{where}: {name} = {text!r} must be text')
  if texts['MATCH']:
    choice(f'{where}: MATCH', texts['MATCH'], ('params', 'flops'))
  variants = variants_of(module, where)
  return Experiment(
    str(module.__doc__).strip(),
    texts['CONFIG'],
    as_fields(getattr(module, 'FIELDS', {}), f'{where}: FIELDS'),
    texts['MATCH'],
    texts['METRIC'],
    texts['PROTOCOL'],
    tuple(dict.fromkeys([texts['METRIC'], *names_of(getattr(module, 'SHOW', SHOWN), f'{where}: SHOW')])),
    pairs_of(getattr(module, 'COMPARE', ()), [name for name, _ in variants], f'{where}: COMPARE'),
    variants,
  )


def variants_of(module: ModuleType, where: str) -> list[tuple[str, dict]]:
  """What the file's sweep() yields."""
  with users_code(where):
    found = list(module.sweep())
  for variant in found:
    if not isinstance(variant, tuple | list) or len(variant) != 2 or not isinstance(variant[0], str):
      raise BadInput(
        f'{where}: sweep() must yield (name, fields), like ("wide", {{"disc.width": 128}}): {variant!r:.80}'
      )
  variants = [(name, as_fields(fields, f'{where}: {name}')) for name, fields in found]
  names = [name for name, _ in variants]
  if not names:
    raise BadInput(f'{where}: sweep() yields no variant')
  if len(set(names)) < len(names) or not all(map(NAME.fullmatch, names)) or {'.', '..'} & set(names):
    raise BadInput(f'{where}: names of variants must differ, and be of letters, digits and _.+-: {names}')
  return variants


def as_fields(given: Any, where: str) -> dict:
  if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
    raise BadInput(f'{where}: {given!r:.80} must be a dict of fields, like {{"disc.width": 128}}')
  return dict(given)


def names_of(given: Any, where: str) -> list[str]:
  if not isinstance(given, tuple | list) or not all(isinstance(name, str) for name in given):
    raise BadInput(f'{where} = {given!r:.80} must be a list of names')
  return list(given)


def pairs_of(given: Any, variants: list[str], where: str) -> list[tuple[str, str]]:
  """COMPARE: pairs of variants."""
  if not isinstance(given, tuple | list):
    raise BadInput(f'{where} = {given!r:.80} must be a list of pairs of variants')
  for pair in given:
    if not isinstance(pair, tuple | list) or len(pair) != 2 or pair[0] == pair[1]:
      raise BadInput(f'{where}: {pair!r} is not a pair of variants')
    for name in pair:
      choice(where, name, variants)
  return [(first, second) for first, second in given]


def configs_of(experiment: Experiment, given: list[str]) -> dict[str, ConfigDict]:
  """Each variant's config, before its width is matched.

  Args:
    given: fields on the command line, like '--config.steps=20': they are set last, in all variants.

  Raises:
    BadInput: an unknown field, or one that nothing reads, or a value that it cannot have.
  """
  for field in given:
    if not field.startswith('--config.') or '=' not in field or field.startswith('--config.seed='):
      raise BadInput(f'{field!r}: a field of all runs is set by --config.NAME=VALUE; seeds by --seeds')
  common = load([f'--config={experiment.config}', *given], unread='kept')  # a variant may read it
  typed = {name: value_at(common, name) for name in (a.partition('=')[0].removeprefix('--config.') for a in given)}
  configs = {}
  for name, fields in experiment.variants:
    configs[name] = load([f'--config={experiment.config}'])
    override(configs[name], {**experiment.fields, **fields, **typed})
    ranges.check(configs[name], f'{name}: config')
    check_read(configs[name], {**experiment.fields, **fields})
  return configs
