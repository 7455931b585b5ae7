"""Folders as registries: the entries are the files, but for those whose names begin with `_` or `base`."""

import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType


def names(path: Iterable[str]) -> list[str]:
  """The entries of a package, whose `__path__` is given."""
  return [m.name for m in pkgutil.iter_modules(path) if not m.name.startswith(('_', 'base'))]


def entry(package: str, name: str) -> ModuleType:
  """The module of an entry."""
  return importlib.import_module(f'{package}.{name}')
