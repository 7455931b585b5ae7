"""A trained run that translates: what commands, the page, attention maps and notebooks stand on."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from i2i_jax.data import check_sizes, images, labels
from i2i_jax.errors import BadInput, choice
from i2i_jax.inference import SIZES, unlike
from i2i_jax.methods.base import Translator, generators
from i2i_jax.runs import checkpoint, layout
from i2i_jax.runtime import compiling, memory, mesh

BATCH = 16


class Program:
  """A Translator as a function (state, x: float32 [N, H, W, C], first) -> [N, H, W, C'] on the host, or a tree.

  Batches are padded to one size, so that nothing compiles twice; `first` is the place of the first image in its
  split, which its dropout is drawn from.
  """

  def __init__(self, translator: Translator, shardings: mesh.Shardings, seed: int, batch: int = BATCH) -> None:
    put, everywhere = shardings.data, shardings.replicated
    self.run = compiling.jit(translator.run, in_shardings=(everywhere, put, everywhere), out_shardings=everywhere)
    self.seed, self.size = seed, -(-batch // shardings.devices) * shardings.devices
    self.programs: dict[tuple[int, ...], Callable] = {}

  def compiled(self, state: Any, shape: tuple[int, ...]) -> Callable:
    """The program for images of `shape` [H, W, C]; of `state` only the shapes count."""
    if shape not in self.programs:
      x = jax.ShapeDtypeStruct((self.size, *shape), np.float32)
      self.programs[shape] = self.run.lower(state, x, jax.random.key(self.seed)).compile()
    return self.programs[shape]

  def __call__(self, state: Any, x: np.ndarray, first: int = 0) -> Any:
    run, outputs = self.compiled(state, x.shape[1:]), []
    for start in range(0, len(x), self.size):
      part = x[start : start + self.size]
      padding = np.zeros((self.size - len(part), *part.shape[1:]), part.dtype)
      rng = jax.random.fold_in(jax.random.key(self.seed), first + start)
      outputs.append(jax.device_get(run(state, np.concatenate([part, padding]), rng)))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(x)], *outputs)


class Predictor(NamedTuple):
  """A run's weights, ready to translate; `load` makes one."""

  run: checkpoint.Run
  functions: dict[str, Program]  # of each direction
  known: Callable[[str], unlike.Known | None]  # direction -> what its training inputs are like, read when asked for

  def predict(self, x: np.ndarray, direction: str = 'ab', first: int = 0) -> np.ndarray:
    """float32 [N, H, W, C] in [-1, 1] to [N, H, W, C']. `first`: the first image's place, which draws its dropout."""
    checkpoint.check_direction(self.run, direction)
    return self.functions[direction](self.run.state, x, first)

  def translate(self, pictures: Sequence, direction: str = 'ab', size: str = 'input') -> list[np.ndarray]:
    """Pictures [H, W, C], each of any size, to pictures [H', W', C'].

    Each has the depth of its side, config.data.depth_a and depth_b: uint8, uint16, or float32 in the side's range.

    Args:
      pictures: a list of them, or an array [N, H, W, C]; label images as `Labels.ids` (data/labels.py) takes them.
      size: 'input': the net sees a picture at the size that it was trained at, and the output is brought back to the
        picture's own; 'train': the output stays at the size of training; 'full': the net sees all of its pixels,
        padded by reflection to what it can halve, and the padding is cut off. With config.data.fit = 'cover' the
        net sees a picture as large as covers the size of training: all of it, with 'train' its middle.

    Raises:
      BadInput: a direction that the run did not learn, another number of channels or depth, floats out of range.
    """
    choice('size', size, SIZES)
    if isinstance(pictures, np.ndarray) and pictures.ndim != 4:
      raise BadInput(
        f'pictures must be a list or [N, H, W, C], not an array {list(pictures.shape)}: put it into a list'
      )
    return [self.translate_one(picture, direction, size, index) for index, picture in enumerate(pictures)]

  def translate_one(
    self, picture: np.ndarray, direction: str = 'ab', size: str = 'input', index: int = 0
  ) -> np.ndarray:
    """One picture [H, W, C]; `index` draws its dropout."""
    checkpoint.check_direction(self.run, direction)
    of, picture = self.run.config.data, self.taken(picture, direction)
    target = images.kind(of, direction[1])
    if size == 'full':
      seen = picture
    elif size == 'input' and of.fit == 'cover':  # all of it, not the middle alone
      seen = images.cover(picture, of.crop_size)
    else:
      seen = images.fit(picture, of.crop_size, of.fit)
    height, width = seen.shape[:2]
    x = labels.encoders(of)[direction[0]](padded(seen, self.multiple(direction)))
    fake = self.predict(x[None], direction, index)[0, :height, :width]
    if size == 'input' and target.depth != 8:  # before it is rounded or, as a float that overshoots, clipped
      fake = images.resize(fake, picture.shape[:2])
    output = images.from_float(fake, target.depth, target.span)
    return images.resize(output, picture.shape[:2]) if size == 'input' else output

  def taken(self, picture: np.ndarray, direction: str) -> np.ndarray:
    """A picture [H, W, C] as the direction's inputs are stored; raises BadInput where it is none of them."""
    of = self.run.config.data
    source = images.kind(of, direction[0])
    if described := labels.of(of):
      picture = described.ids(picture)
    dtype = images.DTYPES[source.depth]
    if picture.dtype != dtype or picture.ndim != 3 or picture.shape[-1] != source.channels:
      raise BadInput(
        f'a picture to translate is {dtype} [H, W, {source.channels}], not {picture.dtype} {picture.shape}'
      )
    return images.within(picture, source, 'a picture to translate')

  def unlike(self, picture: np.ndarray, direction: str = 'ab') -> float | None:
    """How unlike the training inputs a picture [H, W, C] is: above 1 its output is not to be trusted.

    None where the run does not know: it is older, or learnt from few pictures.
    """
    known = self.known(direction)
    if known is None:
      return None
    of = self.run.config.data
    x = labels.encoders(of)[direction[0]](images.fit(self.taken(picture, direction), of.crop_size, of.fit))
    return float(unlike.scores(known, x[None])[0])

  def multiple(self, direction: str) -> int:
    """Heights and widths that the direction's net takes are multiples of it; 1 where it does not say."""
    method = self.run.method
    return getattr(method.nets[method.translators[direction].net][0], 'multiple', 1)


def load(
  workdir: Path | str,
  step: int | None = None,
  *,
  mesh_spec: str = 'data=1',
  batch: int = 1,
  ahead: str = 'ab',
  test: dict[str, Any] | None = None,
  weights: str = 'ema',
) -> Predictor:
  """A run's newest checkpoint, or that of `step`, ready to translate: of its weights the generators' alone are read.

  Args:
    mesh_spec: the devices, like 'data=4'; empty for all. batch: images that are translated at a time; fewer are
      padded to as many, and cost as much. ahead: the direction that is compiled at once, for the size of training:
      what compiling needs and the weights are then not in memory together. Empty: none.
    test: fields of config.test in place of the run's own: dropout, batch_stats. weights: 'last' for those of the last
      step where the run keeps an average of them, which translates otherwise.

  Raises:
    BadInput: no such folder, no checkpoint in it, not this one.
  """
  shardings = mesh.make(mesh_spec)
  run = checkpoint.outline(Path(workdir), shardings, step, test)
  check_sizes(run.config.data)
  part, of = generators(run.state, weights), run.config.data
  functions = {d: Program(t, shardings, run.config.seed, batch) for d, t in run.method.translators.items()}
  if ahead in functions:
    functions[ahead].compiled(part, (*of.crop_size, of[f'channels_{ahead[0]}']))
    memory.give_back()
  run = checkpoint.read(Path(workdir), run, part, step)
  known = functools.cache(lambda direction: unlike.load(Path(workdir) / layout.inputs(direction[0])))
  return Predictor(run, functions, known)


def padded(image: np.ndarray, multiple: int) -> np.ndarray:
  """Pads [H, W, C] at the bottom and right to multiples, by reflection as far as the image reaches."""
  height, width = (-n % multiple for n in image.shape[:2])
  while height or width:  # a reflection can add at most the size itself, less one
    step = (min(height, max(image.shape[0] - 1, 0)), min(width, max(image.shape[1] - 1, 0)))
    mode: Literal['reflect', 'edge'] = 'reflect' if any(step) else 'edge'
    step = step if any(step) else (height, width)
    image = np.pad(image, ((0, step[0]), (0, step[1]), (0, 0)), mode)
    height, width = height - step[0], width - step[1]
  return image
