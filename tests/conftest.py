"""Tests run on 8 virtual CPU devices, where there is a GPU too (test_gpu.py is for that), with JAX's silent
broadcasting between ranks turned into an error.

What XLA compiles is kept in .cache/, for the tests that compile the same again and for the next time.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.flags import UNPOLISHED

ROOT = Path(__file__).parent.parent
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
os.environ['JAX_COMPILATION_CACHE_DIR'] = str(ROOT / '.cache' / 'jax')
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['XLA_FLAGS'] = ' '.join(
  [
    os.environ.get('XLA_FLAGS', ''),
    '--xla_force_host_platform_device_count=8',
    UNPOLISHED,
  ]
)

import jax
import numpy as np
import pytest

from i2i_jax import train
from i2i_jax.data import images
from i2i_jax.layers import conv_forms as conv
from tests.small import tiny_config

PLAIN = {
  f'test_{name}'
  for name in ('ada', 'attention', 'cyclegan', 'health', 'multiscale', 'pix2pixhd', 'regularisers', 'ugatit')
}

jax.config.update('jax_numpy_rank_promotion', 'raise')


@pytest.fixture
def double_precision():
  """JAX computes in float64, in this test."""
  jax.config.update('jax_enable_x64', True)
  yield
  jax.config.update('jax_enable_x64', False)


@pytest.fixture(autouse=True)
def plain_convolutions(request):
  """In the files that are about methods, whole training steps have XLA's own convolutions, which compile in less than
  half the time. tests/layers/test_conv.py trains with ours and with those, to the same losses.
  """
  with conv.plain() if request.path.stem in PLAIN else contextlib.nullcontext():
    yield


@pytest.fixture
def tiny():
  """A pix2pix config that trains a step in no time, on made-up pairs of 16x24 px."""
  return tiny_config()


@pytest.fixture(scope='session')
def finished(tmp_path_factory):
  """A run of `tiny` that is done, to look at."""
  run = tmp_path_factory.mktemp('finished') / 'run'
  train.train(tiny_config(), run, command='python -m i2i_jax.train --config=<a b>', mesh_spec='data=1')
  return run


@pytest.fixture
def run(finished, tmp_path):
  """A copy of `finished`, to work in."""
  shutil.copytree(finished, tmp_path / 'run')
  return tmp_path / 'run'


@pytest.fixture
def command():
  """Runs `python -m i2i_jax.NAME ARGUMENTS` in its own process, from the repository's root, on one device."""

  def run(*arguments, platform='cpu', **kwargs):
    environment = {**os.environ, 'XLA_FLAGS': UNPOLISHED, 'JAX_PLATFORMS': platform}
    environment['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'false'  # tests share a GPU
    return subprocess.run(
      [sys.executable, '-m', *map(str, arguments)],
      cwd=ROOT,
      env=environment,
      capture_output=True,
      text=True,
      timeout=300,
      **kwargs,
    )

  return run


@pytest.fixture
def picture_folder(tmp_path):
  """Side-by-side pictures of 301x200 px a side, gray in A and coloured in B, as a user might have them."""
  rng = np.random.default_rng(0)
  root = tmp_path / 'pictures'
  for split, count in (('train', 5), ('test', 3)):
    (root / split).mkdir(parents=True)
    for i in range(count):
      gray = images.resize(rng.integers(0, 256, (6, 9, 1), np.uint8), (200, 301))
      tint = np.array([1.0, 0.6, 0.3]) if i % 2 else np.array([0.3, 0.6, 1.0])
      colour = (gray * tint).astype(np.uint8)
      images.write_png(root / split / f'{i}.png', np.concatenate([gray.repeat(3, -1), colour], axis=1))
  return root


@pytest.fixture
def page():
  """A page of a real browser without a network, with all its faults in `page.faults`."""
  from playwright.sync_api import sync_playwright

  binary = next((path for name in BROWSERS if (path := shutil.which(name))), None)
  if not binary:
    pytest.skip(f'no browser found ({", ".join(BROWSERS)})')
  with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
      executable_path=binary, args=['--no-sandbox', '--disable-background-networking']
    )
    context = browser.new_context(offline=True, viewport={'width': 1280, 'height': 900})
    page = context.new_page()
    page.faults = []
    page.on('console', lambda m: page.faults.append(m.text) if m.type in ('error', 'warning') else None)
    page.on('pageerror', lambda e: page.faults.append(str(e)))
    page.on('request', lambda r: page.faults.append(r.url) if not r.url.startswith(('file:', 'data:')) else None)
    yield page
    browser.close()
