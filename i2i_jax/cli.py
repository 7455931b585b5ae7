"""What all commands share: parsing, and errors as one line with an exit code.

Exit codes: 0 done; 1 a fault while running; 2 bad input, found before anything was created; 3 some inputs were
skipped; 130 or 143 stopped by SIGINT or SIGTERM, with a checkpoint saved.
"""

import argparse
import errno
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn, Self

import jax

from i2i_jax.config import read_json
from i2i_jax.errors import BadInput, RunFault
from i2i_jax.runs import layout
from i2i_jax.runtime import memory, precision
from i2i_jax.runtime.cache import cache_folder


def parser(doc: str, name: str) -> argparse.ArgumentParser:
  """A parser whose --help shows a module's docstring as it stands."""
  return argparse.ArgumentParser(
    prog=f'i2i {name}',
    description=doc,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )


def run_options(parser: argparse.ArgumentParser, *, direction: bool = True, step: bool = True) -> None:
  """--workdir, --direction and --step: the same in each command that takes a run."""
  parser.add_argument('--workdir', type=Path, required=True, help='the folder of a run')
  if direction:
    parser.add_argument('--direction', default='ab', choices=('ab', 'ba'), help='default: ab')
  if step:
    text = 'the checkpoint; best or best:METRIC: on the validation split; default: the newest'
    parser.add_argument('--step', metavar='STEP|best', help=text)


def parse_run(parser: argparse.ArgumentParser) -> argparse.Namespace:
  """What was given, of a parser with `run_options`; JAX then computes in the run's precision."""
  args = parser.parse_args()
  file = args.workdir / layout.CONFIG
  if file.is_file():
    precision.enable(read_json(file).get('precision', 'float32'))
  return args


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
    jax.config.update('jax_compilation_cache_dir', str(folder))
  if 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS' not in os.environ:
    # JAX's own second leaves out the many small programs of a start, which together take several.
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)


def prepare() -> None:
  """What a command or a notebook does first: logs of libraries are silenced, programs are kept."""
  for noisy in ('absl', 'orbax', 'jax'):
    logging.getLogger(noisy).setLevel(logging.CRITICAL)  # what matters is raised, and said once
  keep_compiled()


def run(main: Callable[[], int | None]) -> NoReturn:
  """Runs a command and exits: what is the user's to mend is one line, anything else a traceback."""
  memory.use_huge_pages()
  prepare()
  try:
    code = main() or 0
  except (BadInput, RunFault) as error:
    print(f'error: {error}', file=sys.stderr)
    code = 2 if isinstance(error, BadInput) else 1
  except OSError as error:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
      raise
    print(
      f'error: {error.filename or "the disk"}: no room on disk; make room and give the same command', file=sys.stderr
    )
    code = 1
  except KeyboardInterrupt:
    print('stopped', file=sys.stderr)
    code = 130
  sys.exit(code)


class Stop:
  """Within its block the first SIGINT or SIGTERM only sets `signal`, for a loop to look at; a second one kills.

  Not used with several processes: there JAX's own coordination listens to SIGTERM.
  """

  def __init__(self) -> None:
    self.signal = 0
    self.old = {}

  def __enter__(self) -> Self:
    if jax.process_count() == 1 and threading.current_thread() is threading.main_thread():
      self.old = {number: signal.signal(number, self.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    return self

  def handle(self, number: int, frame: FrameType | None) -> None:
    del frame
    self.signal = number
    signal.signal(number, signal.SIG_DFL)
    print('\nstopping after this step; once more to stop without saving', file=sys.stderr)

  def __exit__(self, *_: object) -> None:
    for number, handler in self.old.items():
      signal.signal(number, handler)
