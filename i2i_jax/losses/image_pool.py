"""The image pool of CycleGAN, as arrays inside the jitted step.

A discriminator is shown a history of fakes, not only the newest (Shrivastava et al., CVPR 2017; util/image_pool.py
of pytorch-CycleGAN-and-pix2pix). An image at a time: while the pool is not full, the image is stored and returned.
After that, with probability one half a random stored image is returned and the new one takes its place; otherwise
the new one is returned, and not stored.
"""

import jax
import jax.numpy as jnp

Pool = dict  # {'images': [size, H, W, C], 'count': scalar, how many are stored}


def init(size: int, shape: tuple[int, ...], dtype: jax.typing.DTypeLike) -> Pool:
  """An empty pool for `size` images of `shape`."""
  return {'images': jnp.zeros((size, *shape), dtype), 'count': jnp.zeros((), jnp.int32)}


def draw(rng: jax.Array, pool: Pool, batch: int) -> tuple[jax.Array, jax.Array]:
  """What `query` needs at random: whether to swap, and with which stored image, each [batch]."""
  swap_rng, slot_rng = jax.random.split(rng)
  size = len(pool['images'])
  return jax.random.bernoulli(swap_rng, 0.5, (batch,)), jax.random.randint(slot_rng, (batch,), 0, size)


def query(pool: Pool, images: jax.Array, swap: jax.Array, slot: jax.Array) -> tuple[Pool, jax.Array]:
  """The pool after images [B, H, W, C] went through it one by one, and the B images that came out."""
  size = len(pool['images'])

  def one(pool, item):
    image, swap, slot = item
    filling = pool['count'] < size
    place = jnp.where(filling, pool['count'], slot)
    stored = pool['images'][place]
    kept = jnp.where(filling | swap, image, stored)
    returned = jnp.where(swap & ~filling, stored, image)
    count = jnp.minimum(pool['count'] + 1, size)
    return {'images': pool['images'].at[place].set(kept), 'count': count}, returned

  return jax.lax.scan(one, pool, (images, swap, slot))
