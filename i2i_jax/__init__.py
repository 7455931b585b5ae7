"""i2i_jax: image-to-image translation in JAX and Flax."""

from i2i_jax.memory import use_huge_pages

__version__ = '0.1.0'

use_huge_pages()
