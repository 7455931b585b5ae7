"""The weights of pytorch-CycleGAN-and-pix2pix and ours: names, layouts, files.

`layers(config.gen)` or `layers(config.disc)` is the one place that knows both names of a net's layers (those of
models/networks.py there, and our modules' paths); reading and writing both follow it. Kernels: Conv2d's
(out, in, h, w) is our [h, w, in, out], ConvTranspose2d's (in, out, h, w) is our [h, w, out, in], not flipped.
"""

import importlib
import io
import os
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from i2i_jax.errors import BadInput, choice
from i2i_jax.exporting import torch_file
from i2i_jax.runs import outputs
from i2i_jax.runtime import files

MOST_HEADER = 1 << 24  # bytes of a .safetensors file's header
FORMATS = ('.pth', '.pt', '.safetensors')
LEAVES = {'kernel': 'weight', 'scale': 'weight', 'bias': 'bias', 'mean': 'running_mean', 'var': 'running_var'}
AXES = (2, 3, 1, 0)  # of PyTorch's kernels, in our order
STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')

# What else a net of ours could be, the nets there are not.
FIXED = {
  'unet': {'upsample': 'transpose', 'padding': 'zero', 'attention': '', 'side_outputs': 0},
  'resnet': {
    'upsample': 'transpose',
    'downsample': 'stride',
    'padding': 'reflect',
    'attention': '',
    'halvings': 2,
    'side_outputs': 0,
  },
  'patchgan': {'spectral_norm': False, 'attention': '', 'padding': 1, 'scales': 1},
}


class Layer(NamedTuple):
  torch: str  # what its names in the state dict begin with
  ours: tuple[str, ...]  # its module's path
  kind: str  # conv, transpose or norm
  index: int | None = None  # along the first axis of the module's arrays, where they hold several layers'


def layers(config: ConfigDict) -> list[Layer]:
  """The layers of a net, `config` being config.gen or config.disc: the input's first, the output's last."""
  return {'unet': unet, 'resnet': resnet, 'patchgan': patchgan}[config.name](config)


def unet(config: ConfigDict) -> list[Layer]:
  """UnetGenerator: blocks in blocks, each [(relu), down, (norm), the block within, relu, up, (norm), ...]."""
  downs, ups, innermost = [], [], config.depth - 1
  block = 'model.model'
  for i in range(config.depth):
    down, up = (0, 3) if i == 0 else (1, 3) if i == innermost else (1, 5)
    downs.append(Layer(f'{block}.{down}', (f'down{i}',), 'conv'))
    if 0 < i < innermost:
      downs.append(Layer(f'{block}.{down + 1}', (f'down{i}_norm',), 'norm'))
    if i > 0:
      ups.append(Layer(f'{block}.{up + 1}', (f'up{i}_norm',), 'norm'))
    ups.append(Layer(f'{block}.{up}', (f'up{i}', 'conv'), 'transpose'))
    block += '.1.model' if i == 0 else '.3.model'
  return downs + ups[::-1]


def resnet(config: ConfigDict) -> list[Layer]:
  """ResnetGenerator: one sequence; a block is [pad, conv, norm, relu, (dropout), pad, conv, norm]."""

  def convolution(torch, index, name, kind='conv'):
    path = (name, 'conv') if kind == 'transpose' else (name,)
    return [Layer(f'{torch}.{index}', path, kind), Layer(f'{torch}.{index + 1}', (f'{name}_norm',), 'norm')]

  def of_block(i, index, name):
    found = convolution(f'model.{10 + i}.conv_block', index, name)
    return [layer._replace(ours=('blocks', *layer.ours), index=i) for layer in found]

  found = [*convolution('model', 1, 'stem'), *convolution('model', 4, 'down0'), *convolution('model', 7, 'down1')]
  second = 6 if config.dropout else 5
  for i in range(config.blocks):
    found += of_block(i, 1, 'conv0') + of_block(i, second, 'conv1')
  after = 10 + config.blocks
  found += convolution('model', after, 'up0', 'transpose') + convolution('model', after + 3, 'up1', 'transpose')
  return [*found, Layer(f'model.{after + 7}', ('head',), 'conv')]


def patchgan(config: ConfigDict) -> list[Layer]:
  """NLayerDiscriminator, or PixelDiscriminator for 0 layers: conv, leaky relu, then conv, norm, leaky relu each."""
  sequence = 'model' if config.layers else 'net'
  count = config.layers or 1
  found = [Layer(f'{sequence}.0', ('conv0',), 'conv')]
  for i in range(1, count + 1):
    found += [
      Layer(f'{sequence}.{3 * i - 1}', (f'conv{i}',), 'conv'),
      Layer(f'{sequence}.{3 * i}', (f'norm{i}',), 'norm'),
    ]
  return [*found, Layer(f'{sequence}.{3 * count + 2}', ('logits',), 'conv')]


def check_counterpart(config: ConfigDict, where: str) -> None:
  """Raises BadInput, naming the field, for a net that the PyTorch code has no counterpart of."""
  fixed = FIXED.get(config.name)
  if fixed is None:
    raise BadInput(f'config.{where}.name = {config.name!r} has no counterpart in PyTorch; {", ".join(FIXED)} have')
  for field, value in fixed.items():
    if config.get(field, value) != value:
      raise BadInput(
        f'config.{where}.{field} = {config[field]!r} has no counterpart in PyTorch, whose {config.name} has {value!r}'
      )
  if config.norm not in ('batch', 'instance'):
    raise BadInput(
      f"config.{where}.norm = {config.norm!r} has no counterpart in PyTorch: 'batch' and 'instance' have"
    )
  if config.name == 'unet' and config.depth < 5:
    raise BadInput(
      f'config.{where}.depth = {config.depth} has no counterpart in PyTorch, whose U-Nets have 5 or more'
    )
  if config.name == 'unet' and config.max_width != 8 * config.width:
    raise BadInput(
      f'config.{where}.max_width = {config.max_width} has no counterpart in PyTorch, whose U-Nets grow to 8 times '
      f'their width, here {8 * config.width}'
    )


class Place(NamedTuple):
  """Where an array of PyTorch's lies among ours."""

  path: tuple[str, ...]
  index: int | None  # along the first axis
  axes: tuple[int, ...] | None  # of PyTorch's kernel in our order


def names(found: list[Layer], variables: dict) -> dict[str, Place]:
  """By names there, for each array of `variables`."""
  known, out = {}, {}
  for layer in found:
    known.setdefault(layer.ours, []).append(layer)
  for path in flatten_dict(variables):
    _, *module, leaf = path
    if tuple(module) not in known:
      raise BadInput(f'our layer {"/".join(module)} has no counterpart in PyTorch')
    for layer in known[tuple(module)]:
      out[f'{layer.torch}.{LEAVES[leaf]}'] = Place(path, layer.index, AXES if leaf == 'kernel' else None)
  return out


def to_torch(found: list[Layer], variables: dict) -> dict[str, np.ndarray]:
  """{'params': ..., 'batch_stats': ...} to a state dict of arrays, complete for PyTorch's strict loading."""
  flat, tensors = flatten_dict(variables), {}
  for name, (path, index, axes) in names(found, variables).items():
    array = np.asarray(flat[path])
    array = array if index is None else array[index]
    tensors[name] = array.transpose(np.argsort(axes)) if axes else array
    if path[-1] == 'mean':
      tensors[name.replace('running_mean', 'num_batches_tracked')] = np.zeros((), np.int64)
  return {name: np.array(array, order='C') for name, array in tensors.items()}


def from_torch(found: list[Layer], tensors: dict[str, np.ndarray], shapes: dict, what: str) -> dict:
  """A state dict of arrays to {'params': ..., 'batch_stats': ...}, in the file's precision.

  Args:
    shapes: what to fill, a tree of things with a shape. what: of what net and file, for errors.

  Raises:
    BadInput: a name is missing or too many, or a shape is another one.
  """
  flat, wanted = flatten_dict(shapes), names(found, shapes)
  # Old instance norms kept statistics that nothing uses; and no batch norm of ours counts its batches.
  unused = {f'{layer.torch}.{name}' for layer in found if layer.kind == 'norm' for name in STATISTICS}
  missing, extra = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys() - unused)
  if missing or extra:
    lists = [f'{word} {some(items)}' for word, items in (('lacks', missing), ('has besides', extra)) if items]
    raise BadInput(f'{what}: the file {" and ".join(lists)}')
  out = {}
  for name, (path, index, axes) in wanted.items():
    expected = tuple(flat[path].shape)[0 if index is None else 1 :]
    if axes:
      expected = tuple(expected[i] for i in np.argsort(axes))
    if tensors[name].shape != expected:
      raise BadInput(f'{what}: {name} has the shape {tensors[name].shape} in the file, expected is {expected}')
    with np.errstate(over='ignore'):
      finite = tensors[name].dtype.kind in 'biufV' and np.isfinite(tensors[name].astype(np.float32)).all()
    if not finite:
      raise BadInput(f'{what}: {name} holds a number that is not finite in 32 bits')
    array = tensors[name].transpose(axes) if axes else tensors[name]
    if index is None:
      out[path] = array
    else:
      out.setdefault(path, np.empty(flat[path].shape, array.dtype))[index] = array
  # A net without statistics has an empty collection of them.
  return {'params': {}, 'batch_stats': {}} | unflatten_dict(out)


def some(items: list[str], count: int = 2) -> str:
  """'a, b and 7 more'."""
  more = len(items) - count
  return ', '.join(items[:count]) + (f' and {more} more' if more > 0 else '')


# ------------------------------------------------------------------------------------------------------- files


def check_format(path: Path, flag: str) -> None:
  choice(f'{flag}: the ending of {path}', path.suffix, FORMATS)


def library(path: Path) -> ModuleType:
  """PyTorch, or safetensors' NumPy side: needed here only, and installed only where a user wants them."""
  name = 'safetensors.numpy' if path.suffix == '.safetensors' else 'torch'
  try:
    return importlib.import_module(name)
  except ImportError:
    raise BadInput(f"{path}: this needs the package {name.partition('.')[0]}: pip install -e '.[torch]'") from None


def read(path: Path, flag: str = '--weights') -> dict[str, np.ndarray]:
  """A state dict as arrays, without DataParallel's `module.`. Nothing in the file is ever executed.

  Raises:
    BadInput: no such file, a damaged one, one that holds more than tensors.
  """
  if not path.is_file():
    raise BadInput(f'{flag}: there is no file {path}')
  check_format(path, flag)
  try:
    if path.suffix == '.safetensors':
      check_header(path)
      tensors = library(path).load_file(path)
    else:
      tensors = torch_file.read(path)
  except torch_file.Unsafe as error:
    raise BadInput(
      f'{flag}: {path} holds more than tensors, and loading it could run code; nothing was run: {error}'
    ) from None
  except BadInput:
    raise
  except Exception as error:  # whatever a foreign file may lead to
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    raise BadInput(f'{flag}: {path} is truncated or no file of weights: {reason}') from None
  if not isinstance(tensors, dict) or not all(isinstance(x, np.ndarray) for x in tensors.values()):
    raise BadInput(f"{flag}: {path} is not a net's state dict: it holds {contents(tensors)}")
  if all(name.startswith('module.') for name in tensors):
    tensors = {name.removeprefix('module.'): x for name, x in tensors.items()}
  return tensors


def check_header(path: Path) -> None:
  """Raises ValueError where a .safetensors file's list of tensors is longer than that of any net."""
  with open(path, 'rb') as file:
    length = int.from_bytes(file.read(8), 'little')
  if length > MOST_HEADER:
    raise ValueError(f'its header claims {length:,} bytes')


def contents(value: Any) -> str:
  if not isinstance(value, dict):
    return type(value).__name__
  return f'a dict of {some([str(key)[:60] for key in value]) or "nothing"}'


def check_output(path: Path) -> None:
  """Raises BadInput where `write` would."""
  check_format(path, '--output')
  if os.path.lexists(path):
    raise BadInput(f'--output: {path} is there already; name another')
  library(path)


def write(path: Path, tensors: dict[str, np.ndarray]) -> None:
  """Writes a new file of a state dict: the whole of it or none."""
  check_output(path)
  writer = library(path)
  if path.suffix == '.safetensors':
    data = writer.save(tensors)
  else:
    buffer = io.BytesIO()
    writer.save({name: writer.from_numpy(x) for name, x in tensors.items()}, buffer)
    data = buffer.getvalue()
  outputs.folder(path.parent, '--output')
  try:
    files.replace(path, data)
  except OSError as error:
    raise BadInput(f'--output: {path} cannot be written: {error.strerror}') from None
