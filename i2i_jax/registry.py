"""Folders as registries: the entries are the files, but for those whose names begin with `_` or `base`.

What lies outside of this package is found by the full name of its module.
"""

import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from i2i_jax.errors import BadInput


def names(path: Iterable[str]) -> list[str]:
  """The entries of a package, whose `__path__` is given."""
  return [m.name for m in pkgutil.iter_modules(path) if not m.name.startswith(('_', 'base'))]


def entry(package: str, name: str) -> ModuleType:
  """The module of an entry."""
  return importlib.import_module(f'{package}.{name}')


def outside(where: str, name: str, function: str) -> Any:
  """A user's module of that name, which has a function like 'source(config.data, split)'.

  Raises:
    BadInput: there is no such module, or no such function in it; `where` is the field, with its value.
  """
  try:
    module = importlib.import_module(name)
  except ModuleNotFoundError as error:
    raise BadInput(f'{where}: {error}; the module must be installed or lie on PYTHONPATH') from None
  if not hasattr(module, function.partition('(')[0]):
    raise BadInput(f'{where}: that module has no function {function}')
  return module
