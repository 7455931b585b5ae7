"""What all commands share: parsing, and errors as one line with an exit code.

Exit codes: 0 done; 1 a fault while running; 2 bad input, found before anything was created; 3 some inputs were
skipped, or `check` found something; 130 or 143 stopped by SIGINT or SIGTERM: training has saved the step it was at,
unless it had taken none, or a second signal came.
"""

import io
import logging
import os
import shlex
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn

from i2i_jax.errors import BadInput, RunFault, one_line
from i2i_jax.runtime import files, memory, stopping
from i2i_jax.runtime.cache import cache_folder
from i2i_jax.runtime.stopping import Stop as Stop


def typed(name: str) -> str:
  """The command as it was given, to be noted and given again."""
  return shlex.join(['i2i', name, *sys.argv[1:]])


def keep_compiled() -> None:
  """Compiled programs stay in the user's cache folder, for the next start.

  $JAX_COMPILATION_CACHE_DIR names another folder; JAX_ENABLE_COMPILATION_CACHE=false keeps none.
  """
  if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
    folder = cache_folder() / 'jax'
    try:
      folder.mkdir(parents=True, exist_ok=True)
    except OSError:
      return
    if not os.access(folder, os.W_OK):
      return
    jax_setting('jax_compilation_cache_dir', str(folder))
  if 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS' not in os.environ:
    # JAX's own second leaves out the many small programs of a start, which together take several.
    jax_setting('jax_persistent_cache_min_compile_time_secs', 0.1)


def jax_setting(name: str, value: str | float) -> None:
  """Sets what JAX reads; where it is not imported yet, for when it is."""
  if jax := sys.modules.get('jax'):
    jax.config.update(name, value)
  else:
    os.environ[name.upper()] = str(value)


def quiet(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
  """sys.excepthook: a save that failed has its line; what TensorStore still has to say to Orbax then is none."""
  if threading.current_thread() is threading.main_thread() or str(error) != 'Event loop is closed':
    sys.__excepthook__(kind, error, trace)


def prepare() -> None:
  """What a command or a notebook does first: logs of libraries are silenced, programs are kept."""
  for noisy in ('absl', 'orbax', 'jax', 'asyncio', 'tifffile'):
    logging.getLogger(noisy).setLevel(logging.CRITICAL)  # what matters is raised, and said once
  keep_compiled()


def run(main: Callable[[], int | None]) -> NoReturn:
  """Runs a command and exits; SIGINT and SIGTERM are answered all the while."""
  memory.use_huge_pages()
  sys.excepthook = quiet
  if isinstance(sys.stdout, io.TextIOWrapper):
    sys.stdout.reconfigure(errors='backslashreplace')  # names of files need not be UTF-8
  with stopping.listening():
    prepare()
    code = outcome(main)
  sys.exit(code)


def outcome(main: Callable[[], int | None]) -> int:
  """The exit code of what is run: what is the user's to mend is one line, anything else a traceback."""
  try:
    return main() or 0
  except (BadInput, RunFault) as error:
    print(f'error: {one_line(error)}', file=sys.stderr)
    return 2 if isinstance(error, BadInput) else 1
  except OSError as error:
    full = error.errno in files.FULL
    if not full and not error.filename:
      raise
    reason = files.no_room(error) if full else f'{error.filename}: {error.strerror or type(error).__name__}'
    print(f'error: {one_line(reason)}', file=sys.stderr)
    return 1
  except KeyboardInterrupt:
    print('stopped', file=sys.stderr)
    return 130
