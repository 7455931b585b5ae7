"""Checksums of files, in as many threads as are worth it: hashlib lets others run while it computes."""

import hashlib
import os
from pathlib import Path

READ = 1 << 20  # bytes at a time
THREADS = min(4, os.cpu_count() or 1)


def sha256(file: Path, start: int = 0, count: int | None = None) -> str:
  """Of a file, or of `count` bytes of it from `start` on."""
  digest, buffer = hashlib.sha256(), memoryview(bytearray(READ))
  left = file.stat().st_size - start if count is None else count
  with open(file, 'rb', buffering=0) as stream:
    stream.seek(start)
    while left > 0 and (got := stream.readinto(buffer[: min(READ, left)])):
      digest.update(buffer[:got])
      left -= got
  return digest.hexdigest()
