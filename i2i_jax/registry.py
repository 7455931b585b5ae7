"""Folders as registries: the entries are the files, but for those whose names begin with `_` or `base`.

What lies outside of this package, files and modules of the user's own, is run here too: what is wrong with it is one
line that names file and line.
"""

import contextlib
import importlib
import importlib.util
import pkgutil
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
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
  with users_code(where):
    try:
      module = importlib.import_module(name)
    except ModuleNotFoundError as error:
      raise BadInput(f'{where}: {error}; the module must be installed or lie on PYTHONPATH') from None
  if not hasattr(module, function.partition('(')[0]):
    raise BadInput(f'{where}: that module has no function {function}')
  return module


def run_file(path: Path, where: str) -> ModuleType:
  """The module that a user's Python file makes. Raises BadInput where it is no Python, or raises."""
  spec = importlib.util.spec_from_file_location(f'file_{path.stem}', path)
  if not spec or not spec.loader:
    raise BadInput(f'{where}: {path} is no Python file')
  module = importlib.util.module_from_spec(spec)
  sys.modules[spec.name] = module  # where a dataclass looks for its own
  with users_code(where):
    spec.loader.exec_module(module)
  return module


@contextlib.contextmanager
def users_code(where: str) -> Iterator[None]:
  """What the user's own code raises within becomes one line: `where`, its file and line, and what was raised."""
  try:
    yield
  except BadInput:
    raise
  except (Exception, SystemExit) as error:
    raise BadInput(f'{where}: {told(error)}') from None


def told(error: BaseException) -> str:
  """'mine.py, line 3: ZeroDivisionError: division by zero', by the last line that is the user's own."""
  text = ' '.join(f'{type(error).__name__}: {error}'.split())
  if isinstance(error, SyntaxError) and error.lineno:
    return f'{Path(error.filename or "").name}, line {error.lineno}: {type(error).__name__}: {error.msg}'
  theirs = [Path(__file__).parent, *(Path(sysconfig.get_path(name)) for name in ('stdlib', 'purelib'))]
  frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith('<')]
  own = [f for f in frames if not any(map(Path(f.filename).is_relative_to, theirs))]
  return f'{Path(own[-1].filename).name}, line {own[-1].lineno}: {text}' if own else text
