"""What scores compare besides pixels: a file of functions (weights, images) -> features for each net or kind.

Images are [B, H, W, C], 0 to 255, whole numbers as in a file of them. An entry may have SIZES: of a function, what
images are resized to first by the protocol's filter. One that is a published net has MARK, the name of an array by
which a file of its weights is known, and `load(arrays)`, which makes its weights of the arrays in such files.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax

from i2i_jax import registry
from i2i_jax.errors import BadInput
from i2i_jax.evaluation import resize
from i2i_jax.exporting import torch_weights


class Weights(NamedTuple):
  arrays: Any  # what the functions of the file take first
  files: dict[str, str]  # name: sha256 of it, for the record


def module(name: str) -> ModuleType:
  """The file of 'lite0.pool'."""
  return registry.entry(__name__, name.partition('.')[0])


def function(name: str, filter: str) -> Callable:
  """A pure function (weights, images [B, H, W, C] in [-1, 1]) -> features, for a name like 'lite0.pool'."""
  entry, _, what = module(name), *name.partition('.')[1:]
  compute, size = getattr(entry, what), getattr(entry, 'SIZES', {}).get(what)

  def features(weights: Any, images: jax.Array) -> Any:
    pixels = resize.as_in_file(images)
    if hasattr(entry, 'MARK') and pixels.shape[-1] == 1:
      pixels = pixels.repeat(3, -1)
    return compute(weights, resize.resize(pixels, (size, size), filter) if size else pixels)

  return features


def load(names: Iterable[str], given: Iterable[Path] = ()) -> dict[str, Weights]:
  """The weights of the nets among 'lite0.pool', 'texture.bands', ..., by net; each read from the file that has it.

  Args:
    given: files of weights, which may hold several nets' parts: of LPIPS the net, and the weights of its channels.

  Raises:
    BadInput: a net has no file, or a file is of none.
  """
  nets = {name.partition('.')[0]: module(name) for name in names if hasattr(module(name), 'MARK')}
  read = {file: torch_weights.read(file) for file in given}
  found = {}
  for net, entry in nets.items():
    files = [file for file, arrays in read.items() if any(mark in arrays for mark in marks(entry))]
    if not files and hasattr(entry, 'default_file'):
      files = [entry.default_file()]
      read[files[0]] = torch_weights.read(files[0])
    arrays = {k: v for file in files for k, v in read[file].items()}
    if lacking := [mark for mark in marks(entry) if mark not in arrays]:
      raise BadInput(f'--weights: none of the files has {lacking[0]}, a part of {net}: give {entry.FILE}')
    if any(arrays[mark].shape != shape for mark, shape in getattr(entry, 'SHAPES', {}).items()):
      raise BadInput(f'--weights: {files[0]} is of another net than {net}: give {entry.FILE}')
    try:
      found[net] = Weights(entry.load(arrays), {file.name: checksum(file) for file in files})
    except KeyError as error:
      raise BadInput(f'--weights: {files[0]} lacks {error}, a part of {net}') from None
  for file, arrays in read.items():
    if not any(file.name in weights.files for weights in found.values()):
      raise BadInput(f'--weights: {file} is of no net of this protocol: it holds {", ".join(list(arrays)[:2])}, ...')
  return found


def marks(entry: ModuleType) -> tuple[str, ...]:
  return entry.MARK if isinstance(entry.MARK, tuple) else (entry.MARK,)


def checksum(path: Path) -> str:
  return hashlib.sha256(path.read_bytes()).hexdigest()
