"""i2i_jax: image-to-image translation in JAX and Flax."""

__version__ = '0.1.0'
