"""DiffAugment: what the discriminator sees, real and fake, is augmented by transforms that have gradients.

Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, NeurIPS 2020; DiffAugment_pytorch.py of
mit-han-lab/data-efficient-gans.
"""

import jax
import jax.numpy as jnp

from i2i_jax.errors import choice


def color(x: jax.Array, rng: jax.Array) -> jax.Array:
  """Brightness by -0.5 to 0.5, saturation by 0 to 2, contrast by 0.5 to 1.5, in this order."""
  brightness, saturation, contrast = jax.random.uniform(rng, (3, len(x), 1, 1, 1), jnp.float32).astype(x.dtype)
  x = x + (brightness - 0.5)
  gray = x.mean(-1, keepdims=True)
  x = (x - gray) * (2 * saturation) + gray
  mean = x.mean((1, 2, 3), keepdims=True)
  return (x - mean) * (contrast + 0.5) + mean


def translation(x: jax.Array, rng: jax.Array) -> jax.Array:
  """Shifted by up to an eighth of each side; zeros come in."""
  for axis, key in zip((1, 2), jax.random.split(rng), strict=True):
    size = x.shape[axis]
    reach = int(size / 8 + 0.5)
    shift = jax.random.randint(key, (len(x), 1), -reach, reach + 1)
    source = jnp.arange(size).reshape(1, size) + shift  # [B, size]
    inside = (source >= 0) & (source < size)
    shape = [len(x), 1, 1, 1]
    shape[axis] = size
    moved = jnp.take_along_axis(x, jnp.clip(source, 0, size - 1).reshape(shape), axis)
    x = jnp.where(inside.reshape(shape), moved, jnp.zeros_like(moved))
  return x


def cutout(x: jax.Array, rng: jax.Array) -> jax.Array:
  """A rectangle of half of each side, anywhere, also partly outside, becomes zero."""
  hidden = []
  for axis, key in zip((1, 2), jax.random.split(rng), strict=True):
    size = x.shape[axis]
    half = int(size / 2 + 0.5)
    centre = jax.random.randint(key, (len(x), 1), 0, size + 1 - half % 2)
    first = centre - half // 2
    at = jnp.arange(size).reshape(1, size)
    hidden.append((at >= first) & (at < first + half))
  mask = hidden[0][:, :, None, None] & hidden[1][:, None, :, None]
  return jnp.where(mask, jnp.zeros_like(x), x)


TRANSFORMS = {'color': color, 'translation': translation, 'cutout': cutout}


def augment(x: jax.Array, policy: str, rng: jax.Array) -> jax.Array:
  """x [B, H, W, C] in [-1, 1], each image by its own draws; what `rng` is the same for gets the same transform.

  Args:
    policy: names out of TRANSFORMS in the order in which they run, like 'color,translation,cutout'; empty: none.

  Raises:
    BadInput: an unknown name.
  """
  for i, name in enumerate(filter(None, policy.split(','))):
    x = TRANSFORMS[choice('config.diffaugment', name.strip(), TRANSFORMS)](x, jax.random.fold_in(rng, i))
  return x
