"""What was tried and what was lost: the long forms of the tests of reliability, as one Markdown table.

  python -m tests.chaos                       # all of them (make chaos)
  python -m tests.chaos checkpoints images    # some
  python -m tests.chaos --scale=0.1           # a tenth of the tries

A file of this folder has rows(scale) -> (what was tried, how often, how many failed, remark) ... Ctrl-C ends it, and
what was done until then is printed. Exits with 1 where something failed.
"""

import argparse
import importlib
import os
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob('[!_]*.py'))


def main() -> int:
  parser = argparse.ArgumentParser(
    prog='python -m tests.chaos', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('names', nargs='*', metavar='NAME', help=f'of {", ".join(NAMES)}; default: all')
  parser.add_argument('--scale', type=float, default=1.0, help='of the number of tries; default: 1')
  args = parser.parse_args()
  if unknown := set(args.names) - set(NAMES):
    parser.error(f'{unknown.pop()} is none of {", ".join(NAMES)}')
  # Before JAX is imported: what is tried is the same on every machine, and compiled once.
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(HERE.parent.parent / '.cache' / 'jax'))
  os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
  os.environ.setdefault('XLA_FLAGS', importlib.import_module('tests.flags').UNPOLISHED)
  table, failed = [], 0
  try:
    for name in args.names or NAMES:
      began = time.monotonic()
      try:
        for what, tries, lost, remark in importlib.import_module(f'tests.chaos.{name}').rows(scale=args.scale):
          table.append(f'| {what} | {tries} | {lost} | {remark} |')
          failed += lost
          print(f'{name}: {what}: {lost} of {tries} failed; {remark} ({time.monotonic() - began:.0f} s)', flush=True)
          began = time.monotonic()
      except Exception:
        traceback.print_exc()
        table.append(f'| {name} | | 1 | ended by an error, see above |')
        failed += 1
  except KeyboardInterrupt:
    table.append('| stopped here | | | |')
  print('\n'.join(['', '| tried | times | failed | |', '|---|---|---|---|', *table]))
  return 1 if failed else 0


if __name__ == '__main__':
  sys.exit(main())
