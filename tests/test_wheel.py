"""What an installed wheel can do, outside of a checkout; and that an import has no side effects."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from i2i_jax.data import images
from tests.flags import UNPOLISHED

ROOT = Path(__file__).parent.parent
PAPERS = ('--config.gen.name=resnet', '--config.gen.blocks=9', '--config.gen.upsample=transpose')
EXPERIMENT = '''"""Is a wider net better?"""
CONFIG = 'pix2pix:runlocal'
FIELDS = {'steps': 2, 'eval_every': 2, 'samples': 0}
def sweep():
  yield 'narrow', {}
  yield 'wide', {'gen.width': 12}
'''


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
  """A folder with what the wheel holds; what it needs is taken from this environment."""
  folder = tmp_path_factory.mktemp('wheel')
  for name in ('i2i_jax', 'configs'):  # built elsewhere: setuptools leaves its work in the tree
    shutil.copytree(ROOT / name, folder / 'tree' / name, ignore=shutil.ignore_patterns('__pycache__'))
  for name in ('setup.py', 'pyproject.toml', 'README.md'):
    shutil.copy(ROOT / name, folder / 'tree' / name)
  pip = [sys.executable, '-m', 'pip', '-q', '--disable-pip-version-check']
  subprocess.run(
    [*pip, 'wheel', '--no-deps', '--no-build-isolation', f'--wheel-dir={folder}', str(folder / 'tree')],
    check=True,
    timeout=300,
  )
  (wheel,) = folder.glob('*.whl')
  subprocess.run([*pip, 'install', '--no-deps', f'--target={folder / "site"}', str(wheel)], check=True, timeout=300)
  return folder / 'site'


@pytest.fixture
def i2i(installed, tmp_path):
  """Runs `i2i NAME ARGUMENTS` of the installed package in an empty folder; returns what it printed."""
  (tmp_path / 'empty').mkdir()
  environment = {**os.environ, 'XLA_FLAGS': UNPOLISHED, 'PYTHONPATH': str(installed)}

  def run(*arguments):
    command = [sys.executable, '-P', str(installed / 'bin' / 'i2i'), *map(str, arguments)]
    done = subprocess.run(
      command, cwd=tmp_path / 'empty', env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

  run.folder = tmp_path / 'empty'
  return run


def test_a_wheel_trains_scores_translates_and_reports(i2i, picture_folder):
  """The README's way, gray to colour, from a user's pictures of 301x200 px a side."""
  folder, fields = i2i.folder, ('--config.data.channels_a=1', '--config.steps=3')
  i2i('train', f'--config=pix2pix:data=folder,path={picture_folder},runlocal', '--workdir=x', *fields)
  i2i('evaluate', '--workdir=x')
  i2i('translate', '--workdir=x', f'--input={picture_folder / "test"}', '--output=out')
  assert (folder / 'x' / 'report.html').exists()
  i2i('report', '--workdir=x')
  assert json.loads((folder / 'x' / 'eval_test.json').read_text())['step'] == 3
  assert {p.name: images.read(p).shape for p in (folder / 'out').glob('*.png')} == {
    f'{i}.png': (200, 602, 3) for i in range(3)
  }
  assert '<html' in (folder / 'x' / 'report.html').read_text()
  assert sorted(p.name for p in folder.iterdir()) == ['out', 'x']


@pytest.mark.slow
def test_a_wheel_sweeps_and_imports_weights(i2i, tmp_path):
  (i2i.folder / 'wider.py').write_text(EXPERIMENT)
  i2i('sweep', '--experiment=wider.py', '--workdir=sweep', '--seeds=1', '--jobs=2')
  assert 'wide' in (i2i.folder / 'sweep' / 'table.md').read_text()

  i2i('train', '--config=cyclegan:runlocal', '--workdir=c', '--config.steps=1', *PAPERS)
  i2i('export_torch', '--workdir=c', '--output=g.safetensors')
  i2i('import_torch', '--weights=g.safetensors', '--net=resnet_9blocks', '--output=imported')
  assert (i2i.folder / 'imported' / 'checkpoints' / '0').is_dir()


def test_a_wheel_has_all_configs(installed):
  """Those in folders too, like reproduce/pix2pix."""
  folders = ROOT / 'configs', installed / 'i2i_jax' / 'configs'
  ours, theirs = ({p.relative_to(folder).as_posix() for p in folder.rglob('*.py')} for folder in folders)
  assert theirs == ours and 'reproduce/pix2pix.py' in ours


def test_help_is_instant_and_an_import_changes_nothing(tmp_path):
  """No environment variable, no process, no JAX; `i2i --help` imports neither JAX nor the commands."""
  code = """
import os, sys
before = dict(os.environ)
import i2i_jax
assert dict(os.environ) == before
assert not {'jax', 'numpy', 'subprocess', 'multiprocessing'} & sys.modules.keys(), sys.modules.keys()
"""
  environment = os.environ | {'PYTHONPATH': str(ROOT)}
  subprocess.run([sys.executable, '-c', code], check=True, env=environment, cwd=tmp_path)
  said = subprocess.run(
    [sys.executable, '-X', 'importtime', '-m', 'i2i_jax', '--help'], capture_output=True, text=True, env=environment
  )
  assert said.returncode == 0 and 'attention_maps' in said.stdout
  assert 'jax' not in {line.split('|')[-1].strip() for line in said.stderr.splitlines()}
