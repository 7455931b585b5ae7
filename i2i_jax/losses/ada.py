"""ADA: what the discriminator sees is augmented, with a probability that its own overfitting sets.

Karras et al., Training Generative Adversarial Networks with Limited Data, NeurIPS 2020; training/augment.py and
training_loop.py of NVlabs/stylegan2-ada-pytorch.

Each transform of an image is applied with probability p, by draws of its own. A discriminator that knows its few
training images by heart is right on nearly all of them: r_t, the mean sign of its logits on real images, is then
near 1. p rises while r_t is above its target, and falls while it is below. All that moves pixels is one matrix an
image, and so is all that changes colours.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from ml_collections import ConfigDict

from i2i_jax.errors import BadInput
from i2i_jax.losses import diffaugment

KINDS = {'b': 'pixel blitting', 'g': 'geometry', 'c': 'colour'}
# The paper's: standard deviations, of factors those of their log2; shifts are shares of a side.
SHIFT_MAX, SCALE, SHIFT = 0.125, 0.2, 0.125
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0


# -------------------------------------------------------------------------------------------- what p follows


def check(config: ConfigDict) -> None:
  """Raises BadInput for what cannot be meant."""
  ada = config.ada
  if not ada.target:
    return
  if ada.target >= 1:
    raise BadInput(f'config.ada.target = {ada.target} is a mean sign, below 1: take 0.6, or 0 (off)')
  if config.diffaugment:
    raise BadInput(f"config.ada.target = {ada.target} and config.diffaugment = '{config.diffaugment}': choose one")
  if config.loss.gan == 'none':
    raise BadInput("config.ada.target: with config.loss.gan = 'none' no discriminator sees anything; set it to 0")
  if config.loss.gan == 'wgan-gp':
    raise BadInput('config.ada.target: the critic of wgan-gp has no sign that says real; set it to 0, or take hinge')
  if ada.every < 1 or not ada.kimg:
    raise BadInput(f'config.ada.every = {ada.every} must be at least 1, and config.ada.kimg = {ada.kimg} above 0')
  if not ada.set or set(ada.set) - set(KINDS):
    kinds = ', '.join(f'{letter} ({name})' for letter, name in KINDS.items())
    raise BadInput(f'config.ada.set = {ada.set!r}: some letters of {kinds}')


def fresh(config: ConfigDict, *discs: str) -> dict:
  """What a State keeps of each of `discs`: p, the sum of signs since it moved, r_t as it was then. {} without ADA."""
  if not config.ada.target:
    return {}
  return {'ada': {disc: {name: jnp.zeros((), jnp.float32) for name in ('p', 'sum', 'r_t')} for disc in discs}}


def adjusted(extra: dict, config: ConfigDict, metrics: dict, step: jax.Array | int) -> tuple[dict, dict]:
  """What a State keeps after a step, and what is logged of it: both {} without ADA.

  Every config.ada.every-th step p moves by the images since by 1000 config.ada.kimg, up or down.

  Args:
    metrics: of the step, with each discriminator's disc/r_t: see `regularisers.mean_sign`. step: steps done before.
  """
  ada, records, logged = config.ada, {}, {}
  for disc, old in extra.get('ada', {}).items():
    name = disc.removeprefix('disc')  # '', '_a' or '_b'
    due, total = (step + 1) % ada.every == 0, old['sum'] + metrics[f'disc/r_t{name}']
    r_t = jnp.where(due, total / ada.every, old['r_t'])
    change = jnp.sign(r_t - ada.target) * (config.batch_size * ada.every / (1000 * ada.kimg))
    p = jnp.where(due, jnp.clip(old['p'] + change, 0, 1), old['p'])
    records[disc] = {'p': p, 'sum': jnp.where(due, 0.0, total), 'r_t': r_t}
    logged |= {f'ada/p{name}': p, f'ada/r_t{name}': r_t}
  return {'ada': records} if records else {}, logged


# --------------------------------------------------------------------------------------------- what is drawn


def drawer(rng: jax.Array, count: int, p: jax.Array) -> Callable:
  """A function (distribution, neutral, p, shape) -> [count, *shape]: a draw with probability p, else `neutral`."""
  keys = iter(jax.random.split(rng, 24))

  def draw(distribution, neutral=0.0, p=p, shape=()):
    values = distribution(next(keys), (count, *shape))
    chosen = jax.random.uniform(next(keys), (count,) + (1,) * len(shape)) < p
    return jnp.where(chosen, values, neutral)

  return draw


def log_normal(deviation: float) -> Callable:
  return lambda key, shape: jnp.exp2(deviation * jax.random.normal(key, shape))


def normal(deviation: float) -> Callable:
  return lambda key, shape: deviation * jax.random.normal(key, shape)


def uniform(most: float) -> Callable:
  return lambda key, shape: jax.random.uniform(key, shape, minval=-most, maxval=most)


def whole(below: int) -> Callable:
  return lambda key, shape: jax.random.randint(key, shape, 0, below)


def matrix(*rows: Sequence) -> jax.Array:
  """[B, n, n] of rows of numbers and of arrays [B]."""
  rows = [[jnp.asarray(x, jnp.float32) for x in row] for row in rows]
  shape = jnp.broadcast_shapes(*(x.shape for row in rows for x in row))
  return jnp.stack([jnp.stack([jnp.broadcast_to(x, shape) for x in row], -1) for row in rows], -2)


def product(*factors: jax.Array) -> jax.Array:
  """Of matrices [B, n, n]; a default precision may be that of 8 bits."""
  result = factors[0]
  for factor in factors[1:]:
    result = jnp.matmul(result, factor, precision='highest')
  return result


def shifted(x: jax.Array, y: jax.Array) -> jax.Array:
  return matrix([1, 0, -x], [0, 1, -y], [0, 0, 1])


def scaled(x: jax.Array, y: jax.Array | float) -> jax.Array:
  return matrix([1 / x, 0, 0], [0, 1 / y, 0], [0, 0, 1])


def turned(angle: jax.Array) -> jax.Array:
  return matrix([jnp.cos(angle), -jnp.sin(angle), 0], [jnp.sin(angle), jnp.cos(angle), 0], [0, 0, 1])


def quarters(turns: jax.Array) -> jax.Array:
  """A turn by so many times 90 degrees, exactly."""
  turns = turns % 4
  cos, sin = jnp.where(turns % 2 == 0, 1 - turns, 0), jnp.where(turns % 2 == 1, 2 - turns, 0)
  return matrix([cos, -sin, 0], [sin, cos, 0], [0, 0, 1])


def geometry(rng: jax.Array, count: int, size: tuple[int, int], p: jax.Array, kinds: str = 'bg') -> jax.Array:
  """What is done to each of `count` images of (height, width): [B, 3, 3].

  It takes (x, y, 1) of a pixel of the output to where its value comes from, both in px from the image's centre.
  """
  draw, (height, width) = drawer(rng, count, p), size
  inverse = matrix([1, 0, jnp.zeros(count)], [0, 1, 0], [0, 0, 1])
  if 'b' in kinds:
    mirrored, turns, shift = draw(whole(2), 0), draw(whole(4), 0), draw(uniform(SHIFT_MAX), shape=(2,))
    inverse = product(
      scaled(1 - 2 * mirrored, 1),
      quarters(turns),
      shifted(jnp.round(shift[:, 0] * width), jnp.round(shift[:, 1] * height)),
    )
  if 'g' in kinds:
    once = 1 - jnp.sqrt(jnp.maximum(1 - p, 0))  # a turn before, after, or both: p
    scale, before = draw(log_normal(SCALE), 1.0), draw(uniform(math.pi), p=once)
    stretch, after = draw(log_normal(SCALE), 1.0), draw(uniform(math.pi), p=once)
    shift = draw(normal(SHIFT), shape=(2,))
    inverse = product(
      inverse,
      scaled(scale, scale),
      turned(before),
      scaled(stretch, 1 / stretch),
      turned(after),
      shifted(shift[:, 0] * width, shift[:, 1] * height),
    )
  return inverse


def colours(rng: jax.Array, count: int, p: jax.Array) -> jax.Array:
  """[B, 4, 4], which takes (red, green, blue, 1) of an image in [-1, 1] to its new colour.

  Brightness, contrast, an exchange of light and dark, hue and saturation, about the axis of grays.
  """
  draw, gray = drawer(rng, count, p), jnp.array([1, 1, 1, 0]) / math.sqrt(3)
  along = jnp.outer(gray, gray)[None]
  across = jnp.eye(4)[None] - along
  b, c = draw(normal(BRIGHTNESS)), draw(log_normal(CONTRAST), 1.0)
  flip, angle = draw(whole(2), 0), draw(uniform(math.pi))
  vivid = draw(log_normal(SATURATION), 1.0)[:, None, None]
  brightness = matrix([1, 0, 0, b], [0, 1, 0, b], [0, 0, 1, b], [0, 0, 0, 1])
  contrast = matrix([c, 0, 0, 0], [0, c, 0, 0], [0, 0, c, 0], [0, 0, 0, 1])
  luma = jnp.eye(4)[None] - 2 * along * flip[:, None, None]
  # Rodrigues: a turn about the axis of grays, whose cross product with a colour is `turn`.
  turn = jnp.array([[0, -1, 1, 0], [1, 0, -1, 0], [-1, 1, 0, 0], [0, 0, 0, 0]])[None] / math.sqrt(3)
  cos, sin = jnp.cos(angle)[:, None, None], jnp.sin(angle)[:, None, None]
  last = jnp.diag(jnp.array([0, 0, 0, 1.0]))[None]  # stays 1
  hue = along + cos * (across - last) + sin * turn + last
  saturation = along + vivid * (across - last) + last
  return product(saturation, hue, luma, contrast, brightness)


# ---------------------------------------------------------------------------------------------- what is done


def cubic(distance: jax.Array) -> jax.Array:
  """Keys' kernel: the weight of a pixel so many px away. On a pixel it is that pixel alone."""
  d = jnp.abs(distance)
  near, far = (1.5 * d - 2.5) * d * d + 1, ((2.5 - 0.5 * d) * d - 4) * d + 2
  return jnp.where(d < 1, near, jnp.where(d < 2, far, 0.0))


def placed(x: jax.Array, inverse: jax.Array) -> jax.Array:
  """x [B, H, W, C] with its pixels from where `geometry` says, of 4x4 px each; beyond its edges it is mirrored.

  Mirrors, turns by 90 degrees (of a square) and shifts by whole pixels are exact.
  """
  count, height, width, channels = x.shape
  down, right = jnp.arange(height)[None, :, None], jnp.arange(width)[None, None]
  down, right = down - (height - 1) / 2, right - (width - 1) / 2
  taps, around = [], jnp.arange(-1, 3)[None, None, None]
  for i, size in ((1, height), (0, width)):
    a, b, c = jnp.moveaxis(inverse[:, i, :, None, None], 1, 0)
    place = (a * right + b * down + c + (size - 1) / 2)[..., None]  # [B, H, W, 1], of rows and then of columns
    first, period = jnp.floor(place), 2 * max(size - 1, 1)
    at = jnp.mod(first.astype(jnp.int32) + around, period)
    taps.append((jnp.minimum(at, period - at), cubic(place - first - around).astype(x.dtype)))
  (rows, of_row), (columns, of_column) = taps
  at = (rows[..., None] * width + columns[..., None, :]).reshape(count, -1, 1)
  # One gather for all: sixteen take five times as long to compile, and their gradient four times as long to run.
  found = jnp.take_along_axis(x.reshape(count, -1, channels), at, 1, mode='promise_in_bounds')
  weights = of_row[..., None] * of_column[..., None, :]
  found = found.reshape(*weights.shape, channels)
  return jnp.einsum('bhwij,bhwijc->bhwc', weights, found, precision='highest')


def coloured(x: jax.Array, colour: jax.Array) -> jax.Array:
  """x [B, H, W, C] in the colours of [B, 4, 4]: three channels, or one, a gray; others stay as they are."""
  if x.shape[-1] not in (1, 3):
    return x
  factors, bias = colour[:, :3, :3], colour[:, :3, 3]
  if x.shape[-1] == 1:
    factors, bias = factors.sum(2).mean(1)[:, None, None], bias.mean(1)[:, None]
  changed = jnp.einsum('bij,bhwj->bhwi', factors.astype(x.dtype), x, precision='highest')
  return changed + bias[:, None, None].astype(x.dtype)


def augment(images: Sequence[jax.Array], p: jax.Array, rng: jax.Array, kinds: str = 'bgc') -> tuple[jax.Array, ...]:
  """Images [B, H, W, C] in [-1, 1] that belong together, all by the same draws; untouched while p is 0.

  Args:
    p: the probability of each transform. kinds: letters of KINDS.
  """
  place_rng, colour_rng = jax.random.split(rng)
  count, *size, _ = images[0].shape

  def apply(images):
    if 'b' in kinds or 'g' in kinds:
      ends = [sum(x.shape[-1] for x in images[: i + 1]) for i in range(len(images) - 1)]
      x = placed(jnp.concatenate(images, -1), geometry(place_rng, count, size, p, kinds))
      images = jnp.split(x, ends, -1)
    if 'c' in kinds:
      colour = colours(colour_rng, count, p)
      images = [coloured(x, colour) for x in images]
    return tuple(images)

  return lax.cond(p > 0, apply, lambda images: images, tuple(images))


def seen(images: Sequence[jax.Array], config: ConfigDict, rng: jax.Array, extra: dict, disc: str) -> jax.Array:
  """Images [B, H, W, C] as a discriminator sees them, their channels one after the other: [B, H, W, sum of C].

  Augmented as config.ada or config.diffaugment says, all by the same draws. `extra`: a State's, see `fresh`.
  """
  if config.ada.target:
    images = augment(images, extra['ada'][disc]['p'], rng, config.ada.set)
  else:
    images = [diffaugment.augment(x, config.diffaugment, rng) for x in images]
  return jnp.concatenate(images, -1) if len(images) > 1 else images[0]
