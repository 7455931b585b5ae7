"""Fingerprints of files by their content, which is read once.

A resumed run has to see the data that it began with. Names and sizes do not tell: a picture may be replaced by
another of the same size, or two may be swapped. So each file's SHA-256 counts. Of large sets they are kept in the
user's cache folder, not in a run's: many runs share a set, and a plan writes nothing into a run's folder. A file is
read again when its size changed, or the time at which its content or its name did.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from i2i_jax.runtime.cache import cache_folder
from i2i_jax.runtime.hashing import THREADS, sha256

MARK = 'content-'  # that a fingerprint is of content
KEEP_FROM = 64_000_000  # bytes of a folder's files whose checksums are kept; fewer are read each time, in 0.1 s


def differ(old: str, new: str) -> bool:
  """Whether data have changed. An older version's fingerprint was of names and sizes, and says nothing of content."""
  return old != new and not (MARK in new and MARK not in old)


def of_files(files: Iterable[Path]) -> str:
  """Changes when a file comes, goes, or changes its name or content."""
  files = list(files)
  digests: dict[Path, str] = {}
  for folder in {file.parent for file in files}:
    digests |= of_folder(folder, sorted({file for file in files if file.parent == folder}))
  lines = (f'{file.name} {digests[file]}' for file in files)
  return MARK + hashlib.sha256('\n'.join(lines).encode(errors='surrogateescape')).hexdigest()[:16]


def of_folder(folder: Path, files: list[Path]) -> dict[Path, str]:
  """The SHA-256 of files of one folder, read or known."""
  states = {file: state_of(file) for file in files}
  store = None
  if sum(size for size, *_ in states.values()) >= KEEP_FROM:
    name = hashlib.sha256(str(folder.resolve()).encode(errors='surrogateescape')).hexdigest()[:16]
    store = cache_folder() / 'fingerprints' / f'{name}.json'
  known = read(store) if store else {}
  found = {file: known[file.name][-1] for file in files if known.get(file.name, [])[:-1] == states[file]}
  unread = [file for file in files if file not in found]
  with ThreadPoolExecutor(THREADS) as pool:
    found |= dict(zip(unread, pool.map(sha256, unread), strict=True))
  if store and unread:
    keep(store, {file.name: [*states[file], found[file]] for file in files})
  return found


def state_of(file: Path) -> list[int]:
  """What changes when a file does: renaming leaves its size and time as they were, but for ctime."""
  found = file.stat()
  return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def read(store: Path) -> dict[str, list]:
  """The checksums that were kept; none where that file is not there or is damaged."""
  try:
    known = json.loads(store.read_text())
    return {
      name: of for name, of in known.items() if isinstance(of, list) and len(of) == 4 and isinstance(of[-1], str)
    }
  except (OSError, ValueError, AttributeError):
    return {}


def keep(store: Path, known: dict[str, list]) -> None:
  """Writes what is known, unless that cannot be done: files are then read again the next time."""
  with contextlib.suppress(OSError):
    store.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=store.parent)  # several processes may do so at a time
    with os.fdopen(handle, 'w') as file:
      json.dump(known, file)
    os.replace(part, store)
