"""Main memory, where glibc is: huge pages for XLA's temporary buffers, and what compiling leaves is given back.

XLA takes hundreds of megabytes anew at each step of a CPU, and gives them back. In pages of 4 KiB each of them costs
a fault, and later a miss in the table of pages: a quarter to a half of a CycleGAN's CPU time. glibc can ask for pages
of 2 MiB, but only by a variable that is read when a process begins.
"""

import ctypes
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

TUNABLE = 'glibc.malloc.hugetlb=1'
SETTING = Path('/sys/kernel/mm/transparent_hugepage/enabled')


def wanted(environ: Mapping[str, str], setting: str) -> bool:
  """Whether huge pages are to be had by asking (`setting`: SETTING's text), and the user does not set malloc up."""
  own = any(name.startswith(('MALLOC_', 'GLIBC_TUNABLES')) for name in environ)
  return '[madvise]' in setting and not own and platform.libc_ver()[0] == 'glibc'


def setting() -> str:
  try:
    return SETTING.read_text()
  except OSError:
    return ''


def use_huge_pages() -> None:
  """Starts this program once more, in the same process, with huge pages. Commands call it, an import does not."""
  if wanted(os.environ, setting()):
    os.environ['GLIBC_TUNABLES'] = TUNABLE
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def keep_small() -> None:
  """Has this process give large buffers back once they are freed: it takes less memory and a little more time."""
  if platform.libc_ver()[0] == 'glibc':
    libc = ctypes.CDLL(None)
    libc.mallopt(-3, 256 << 10)  # M_MMAP_THRESHOLD: buffers from 256 KiB on
    libc.mallopt(-8, 1)  # M_ARENA_MAX: threads share what is freed


def give_back() -> None:
  """What was freed goes back to the system, as glibc does by itself at the heap's end alone.

  Compiling a step takes half a gigabyte and more in small pieces, which no large buffer can use again.
  """
  if platform.libc_ver()[0] == 'glibc':
    ctypes.CDLL(None).malloc_trim(0)
