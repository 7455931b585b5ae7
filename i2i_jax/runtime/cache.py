"""The folder of what is kept from one command to the next."""

import os
from pathlib import Path


def cache_folder() -> Path:
  return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'i2i_jax'
