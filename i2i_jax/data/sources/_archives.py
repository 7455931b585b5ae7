"""Tar files, as data sets and npm's packages are published: read as a stream, nothing is unpacked onto the disk."""

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from i2i_jax.data import images
from i2i_jax.errors import BadInput

END = 1 << 20  # bytes of a file's beginning and of its end that its fingerprint is made of


def given(path: str, what: str) -> Path:
  """The file that config.data.path names. Raises BadInput, which says `what` it has to be, where there is none."""
  file = Path(path).expanduser()
  if not path:
    raise BadInput(f'config.data.path is empty: give {what}')
  if not file.is_file():
    raise BadInput(f'config.data.path: there is no file {file}; give {what}')
  return file


def pictures(file: Path, wanted: Callable[[PurePosixPath], bool]) -> Iterator[tuple[PurePosixPath, bytes]]:
  """(name, bytes) of each `wanted` picture file in a tar file, compressed or not, in its order.

  What has no picture's ending, is hidden or is no regular file is passed over. A name is a name only, never a path on
  this machine.

  Raises:
    BadInput: the file is no tar file, or is torn.
  """
  try:
    with tarfile.open(file) as archive:
      for member in archive:
        name = PurePosixPath(member.name)
        of_picture = name.suffix.lower() in images.FORMATS and not name.name.startswith('.')
        if member.isreg() and of_picture and wanted(name) and (stream := archive.extractfile(member)):
          yield name, stream.read()
  except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
    reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(':')
    raise BadInput(f'{file} is no tar file, or not all of one ({reason}): download it again') from None


def fingerprint(file: Path) -> str:
  """Of a file's size, beginning and end: quick for gigabytes, and a gzip file's end is a checksum of it all."""
  size = file.stat().st_size
  with file.open('rb') as stream:
    digest = hashlib.sha256(b'%d ' % size + stream.read(END))
    stream.seek(max(0, size - END))
    digest.update(stream.read())
  return digest.hexdigest()[:16]
