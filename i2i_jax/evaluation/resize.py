"""How images reach a net of fixed input size. Published numbers differ by this filter alone.

Each is a product with one matrix a side. `clean` is Pillow's bicubic, antialiased, not rounded between the sides
(clean-fid); `legacy_pytorch` torch.nn.functional.interpolate's bilinear, without antialiasing (clean-fid);
`legacy_tensorflow` TensorFlow 1's bilinear, whose pixels are not centred (torch-fidelity, clean-fid). Inception then
takes (x - 128) / 128. `pytorch_fid` is that of the package: the second filter, and x / 127.5 - 1.
Parmar et al., On Aliased Resizing and Surprising Subtleties in GAN Evaluation, CVPR 2022.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

FILTERS = ('clean', 'legacy_pytorch', 'legacy_tensorflow', 'pytorch_fid')


def as_in_file(images: jax.Array) -> jax.Array:
  """[-1, 1] to the whole numbers 0 to 255 that a file of 8 bits would hold, as floats."""
  return jnp.rint(jnp.clip((images + 1) * 127.5, 0, 255))


def resize(images: jax.Array, size: tuple[int, int], filter: str) -> jax.Array:
  """[B, H, W, C], 0 to 255, to [B, *size, C], clipped to that range."""
  if filter == 'pytorch_fid':
    return resize(images, size, 'legacy_pytorch') * (256 / 255)
  if filter != 'clean' and images.shape[1:3] == size:
    return images
  rows, columns = (matrix(old, new, filter) for old, new in zip(images.shape[1:3], size, strict=True))
  exact = jax.lax.Precision.HIGHEST  # an accelerator would round to fewer bits
  # Pillow's order: the columns first.
  images = jnp.einsum('bhwc,vw->bhvc', images, columns, precision=exact)
  return jnp.clip(jnp.einsum('bhwc,uh->buwc', images, rows, precision=exact), 0, 255)


@functools.cache
def matrix(old: int, new: int, filter: str) -> np.ndarray:
  """[new, old]: what each new pixel takes of the old ones along one side."""
  if filter == 'clean':
    return bicubic(old, new)
  # In float32, as there: a place that is rounded is another weight.
  scale, steps, half = np.float32(old / new), np.arange(new, dtype=np.float32), np.float32(0.5)
  places = steps * scale if filter == 'legacy_tensorflow' else np.maximum((steps + half) * scale - half, 0)
  low = np.minimum(places.astype(int), old - 1)
  high, share = np.minimum(low + 1, old - 1), places - low
  return (np.eye(old)[low] * (1 - share)[:, None] + np.eye(old)[high] * share[:, None]).astype(np.float32)


def bicubic(old: int, new: int) -> np.ndarray:
  """Pillow's: a = -0.5, as wide as the scale when it makes smaller."""
  scale = old / new
  width = max(scale, 1.0)
  weights = np.zeros((new, old))
  for i in range(new):
    centre = (i + 0.5) * scale
    low, high = max(int(centre - 2 * width + 0.5), 0), min(int(centre + 2 * width + 0.5), old)
    x = np.abs((np.arange(low, high) + 0.5 - centre) / width)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    of = np.where(x < 1, near, np.where(x < 2, far, 0))
    weights[i, low:high] = of / of.sum()
  return weights.astype(np.float32)
