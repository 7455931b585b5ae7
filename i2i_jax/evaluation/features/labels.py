"""Label images: each pixel's class is that of the nearest colour of config.data.labels."""

import jax
import jax.numpy as jnp
import numpy as np


def classes(colours: jax.Array, images: jax.Array) -> jax.Array:
  """Images [B, H, W, C], 0 to 255, to uint8 [B, H, W]: which of the colours [K, C] is nearest."""
  distances = [jnp.square(images - colour[None, None, None]).sum(-1) for colour in jnp.asarray(colours, jnp.float32)]
  return jnp.argmin(jnp.stack(distances), 0).astype(jnp.uint8)


def accuracy(fake: jax.Array, real: jax.Array) -> jax.Array:
  """Share of pixels of the right class: [B], of `classes` [B, H, W]."""
  return (fake == real).mean((1, 2))


def mean_iou(fake: np.ndarray, real: np.ndarray) -> float:
  """Pixels in both by pixels in either, over all images, a mean over the classes that the targets have."""
  shares = []
  for of in np.unique(real):
    ours, theirs = fake == of, real == of
    shares.append((ours & theirs).sum() / (ours | theirs).sum())
  return float(np.mean(shares))
