"""Label images as a net's input: a channel for each label, and one for the edges of instances.

Wang et al., pix2pixHD, CVPR 2018; encode_input and get_edges in models/pix2pixHD_model.py of NVIDIA/pix2pixHD.

With `config.data.onehot` what a source gives as `a` is ids, int32 [H, W, 1], or with `config.data.edges` [H, W, 2],
the second those of instances. It may also give pictures, whose colours `config.data.labels` lists. Ids are resized
without mixing them, cropped and mirrored with the photo, and become channels at last: float32 0 or 1.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from i2i_jax.data import formats, images
from i2i_jax.errors import BadInput

FOLDERS = ('_label', '_inst')  # how folders of label images and of their instances end


class Labels(NamedTuple):
  """What config.data says of label images."""

  count: int
  edges: bool  # whether there are instances, whose edges are a channel too
  colours: np.ndarray | None  # uint8 [count, 3], where the labels are the colours of pictures

  def ids(self, image: np.ndarray) -> np.ndarray:
    """A label image as ids: int32 [H, W, 1 or 2]. Of a picture, uint8 [H, W, 3], those of the nearest colours.

    Raises:
      BadInput: it is none, or has ids that are no labels.
    """
    if self.colours is not None and image.dtype == np.uint8 and image.shape[-1] == 3:
      return nearest_colours(image, self.colours)
    if image.dtype != np.int32 or image.shape[-1] != 1 + self.edges:
      kind = 'uint8 [H, W, 3]' if self.colours is not None else f'int32 [H, W, {1 + self.edges}]'
      raise BadInput(f'a label image is {kind}, not {image.dtype} {list(image.shape)}')
    if not 0 <= image[..., 0].min() <= image[..., 0].max() < self.count:
      raise BadInput(f'labels are from 0 to {self.count - 1}, and here up to {image[..., 0].max()}')
    return image

  def asked(self, config_data: ConfigDict) -> ConfigDict:
    """What a source is asked for: where labels are colours, pictures in place of ids."""
    if self.colours is None:
      return config_data
    config = config_data.copy_and_resolve_references()
    config.update({'channels_a': 3, 'onehot': False})
    return config

  def channels(self, ids: np.ndarray) -> np.ndarray:
    """int32 [..., H, W, 1 or 2] to float32 [..., H, W, count + edges], 0 or 1."""
    channels = (ids[..., :1] == np.arange(self.count)).astype(np.float32)
    return np.concatenate([channels, edges(ids[..., 1])[..., None]], axis=-1) if self.edges else channels

  def picture(self, channels: np.ndarray) -> np.ndarray:
    """`channels`' output in colours, to look at: float32 [..., H, W, 3] in [-1, 1]."""
    colours = palette(self.count) if self.colours is None else self.colours
    return images.to_float(colours[channels[..., : self.count].argmax(-1)])


def of(config_data: ConfigDict) -> Labels | None:
  """What config.data says of label images; None where inputs are pictures.

  Raises:
    BadInput: the channels are not those of the labels and edges, or there are no pairs.
  """
  if not config_data.get('onehot', False):
    return None
  edges = bool(config_data.edges)
  count, colours = config_data.channels_a - edges, np.asarray(config_data.labels, np.uint8)
  if not config_data.paired:
    raise BadInput('config.data.onehot: label images are the inputs of pairs; take pix2pix or pix2pixhd')
  if config_data.get('degrade', ''):
    raise BadInput('config.data.onehot: with config.data.degrade the input is made of the target; leave out one')
  if len(colours) and (edges or len(colours) != count):
    also = ', and pictures have no instances: config.data.edges=False' if edges else ''
    raise BadInput(f'config.data.channels_a = {config_data.channels_a}: config.data.labels has {len(colours)}{also}')
  if count < 2:
    raise BadInput(
      f'config.data.channels_a = {config_data.channels_a}: with config.data.onehot these are the labels'
      f'{" and one for edges" if edges else ""}'
    )
  return Labels(count, edges, colours if len(colours) else None)


def encoders(config_data: ConfigDict) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
  """How the images of a side become floats for a net: pictures in [-1, 1], and of labels the channels."""
  described, kinds = of(config_data), images.kinds(config_data)
  pictures = {side: functools.partial(images.to_float, span=kind.span) for side, kind in kinds.items()}
  return {**pictures, 'a': described.channels} if described else pictures


def drawer(config_data: ConfigDict) -> Callable[[np.ndarray], np.ndarray]:
  """How a net's inputs become pictures to look at, in [-1, 1]: those of labels get colours."""
  described = of(config_data)
  return described.picture if described else lambda images: images


class Coded:
  """Pairs whose inputs are ids, of pairs with label images of either kind."""

  def __init__(self, pairs: Any, described: Labels) -> None:
    self.pairs, self.described = pairs, described
    self.fingerprint = f'{pairs.fingerprint}-labels-{described.count}'

  def __len__(self) -> int:
    return len(self.pairs)

  def __getattr__(self, name: str) -> Any:
    return getattr(self.pairs, name)

  def __getitem__(self, index: int) -> dict:
    pair = self.pairs[index]
    try:
      return {**pair, 'a': self.described.ids(pair['a'])}
    except BadInput as error:
      raise BadInput(f'{pair["name"]}: {error}') from None


def edges(instances: np.ndarray) -> np.ndarray:
  """Ids [..., H, W] to bool: whether a pixel's id is another than one of its four neighbours'."""
  down, across = (np.diff(instances, axis=axis) != 0 for axis in (-2, -1))
  edge = np.zeros(instances.shape, bool)
  edge[..., 1:, :] |= down
  edge[..., :-1, :] |= down
  edge[..., 1:] |= across
  edge[..., :-1] |= across
  return edge


def nearest_colours(image: np.ndarray, colours: np.ndarray) -> np.ndarray:
  """uint8 [H, W, 3] to int32 [H, W, 1]: which of the colours [K, 3] is nearest."""
  best, found = np.full(image.shape[:2], np.inf, np.float32), np.zeros(image.shape[:2], np.int32)
  for label, colour in enumerate(colours):
    distance = np.square(image.astype(np.float32) - colour).sum(-1)
    closer = distance < best
    best[closer], found[closer] = distance[closer], label
  return found[..., None]


def palette(count: int) -> np.ndarray:
  """uint8 [count, 3]: colours that tell labels apart, the first black (the palette of PASCAL VOC)."""
  ids, colours = np.arange(count), np.zeros((count, 3), np.uint8)
  for place in range(24):
    colours[:, place % 3] |= ((ids >> place & 1) << (7 - place // 3)).astype(np.uint8)
  return colours


def read(path: Path, instances: Path | None = None) -> np.ndarray:
  """Files of ids, 8 or 16 bits, as int32 [H, W, 1], or [H, W, 2] with those of instances: values as they are stored.

  Raises:
    BadInput: a file cannot be read or is in colours, or the two have other sizes.
  """
  if instances:
    ids, others = read(path), read(instances)
    if ids.shape != others.shape:
      raise BadInput(f'{path} and {instances} are of one picture and must have one size')
    return np.concatenate([ids, others], axis=-1)
  values = formats.held(path, ids=True).values
  if values.shape[-1] != 1 or values.dtype.kind not in 'bui':
    raise BadInput(f'{path}: ids of labels are gray, whole numbers, not {values.dtype} {list(values.shape)}')
  if values.dtype.itemsize > 2 and not 0 <= values.min() <= values.max() < 1 << images.IDS:
    raise BadInput(f'{path}: ids of labels are from 0 to 2^{images.IDS} - 1, and here up to {values.max()}')
  return values.astype(np.int32)


def read_input(path: Path, described: Labels) -> np.ndarray:
  """A file to translate, as ids; where it needs instances, these are where `instances_of` says.

  Raises:
    BadInput: as `read`, `Labels.ids` and `instances_of`.
  """
  if described.colours is not None:
    return described.ids(images.read(path, 3))
  ids = read(path, instances_of(path) if described.edges else None)
  try:
    return described.ids(ids)
  except BadInput as error:
    raise BadInput(f'{path}: {error}') from None


def instances_of(path: Path) -> Path:
  """The instances of a label image: beside its folder, `test_label`, in `test_inst`, at the same place in the order.

  Raises:
    BadInput: there is no such folder, or it has not as many files.
  """
  folder = path.parent
  beside = folder.with_name(folder.name.removesuffix(FOLDERS[0]) + FOLDERS[1])
  files, others = images.list_images(folder), images.list_images(beside) if beside.is_dir() else []
  if len(files) != len(others):
    raise BadInput(
      f'{path}: this net needs the edges of instances, as many files in {beside} as there are in {folder} '
      f'({len(files)}), and there are {len(others)}'
    )
  return others[files.index(path)]
