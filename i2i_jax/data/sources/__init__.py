"""Data sources, a file each; see i2i_jax/data/__init__.py."""
