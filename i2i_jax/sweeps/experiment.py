"""What an experiment's file says, and the images that its variants are scored on."""

import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

from i2i_jax.errors import BadInput, choice

SHOWN = ('psnr', 'ssim', 'swd', 'energy_1')
NAME = re.compile(r'[\w.+-]+')  # of a variant: a folder's name, too


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
  """Imports an experiment's file. Raises BadInput for what it lacks."""
  if not path.is_file() or path.suffix != '.py':
    raise BadInput(f'--experiment: there is no Python file {path}; see experiments/')
  spec = importlib.util.spec_from_file_location(path.stem, path)
  assert spec and spec.loader  # of a file that ends in .py
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  for name in ('__doc__', 'CONFIG', 'sweep'):
    if not getattr(module, name, None):
      raise BadInput(f'--experiment: {path} has no {"docstring" if name == "__doc__" else name}')
  variants = [(name, dict(fields)) for name, fields in module.sweep()]
  names = [name for name, _ in variants]
  if len(set(names)) < len(names) or not all(map(NAME.fullmatch, names)):
    raise BadInput(
      f'--experiment: {path}: names of variants must differ, and be of letters, digits and _.+-: {names}'
    )
  compare = [tuple(pair) for pair in getattr(module, 'COMPARE', ())]
  for pair in compare:
    if len(pair) != 2 or pair[0] == pair[1]:
      raise BadInput(f'--experiment: {path}: COMPARE: {pair!r} is not a pair of variants')
    for name in pair:
      choice(f'--experiment: {path}: COMPARE', name, names)
  metric = getattr(module, 'METRIC', 'psnr')
  return Experiment(
    str(module.__doc__).strip(),
    module.CONFIG,
    getattr(module, 'FIELDS', {}),
    getattr(module, 'MATCH', ''),
    metric,
    getattr(module, 'PROTOCOL', 'pixel'),
    tuple(dict.fromkeys([metric, *getattr(module, 'SHOW', SHOWN)])),
    compare,
    variants,
  )
