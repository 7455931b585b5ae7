"""What only a GPU can show; skipped where there is none."""

import json
import shutil

import numpy as np
import pytest

from experiments.speed import __main__ as speed
from i2i_jax.data import images

PLATFORMS = {'cpu': 'cpu', 'gpu': 'cuda,cpu'}
FIELDS = ['--config.data.name=tests.fake', '--config.data.crop_size=(32, 32)', '--config.data.load_size=(36, 36)']
FIELDS += ['--config.gen.width=8', '--config.disc.width=8', '--config.log_every=1', '--config.samples=2']


@pytest.fixture(scope='module', autouse=True)
def gpu():
  with pytest.MonkeyPatch.context() as patch:
    patch.delenv('JAX_PLATFORMS')
    if not speed.has_gpu():
      pytest.skip('no GPU found')


def losses(run) -> dict[tuple, float]:
  """{(step, name): value} of a run's losses."""
  lines = [json.loads(line) for line in (run / 'metrics.jsonl').read_text().splitlines()]
  kinds = ('loss/', 'disc/')
  return {(line['step'], name): x for line in lines for name, x in line.items() if name.startswith(kinds)}


@pytest.mark.parametrize('method', ['pix2pix', 'cyclegan'])
def test_a_run_of_a_cpu_goes_on_on_a_gpu_with_the_same_losses(command, tmp_path, method):
  """Fast forms of convolutions and norms there, cuDNN's here; float64, ten steps after the first."""
  size = {'pix2pix': ['--config.gen.depth=5'], 'cyclegan': ['--config.gen.blocks=2', '--config.pool=2']}[method]
  fields = [f'--config={method}:data=folder,path=unused', *FIELDS, *size, '--config.precision=float64']
  fields += ['--config.steps=11', '--config.batch_size=2']
  train = ['i2i_jax.train', *fields]
  first = command(*train, f'--workdir={tmp_path / "cpu"}', '--stop_at=1')
  assert first.returncode == 0, first.stderr
  shutil.copytree(tmp_path / 'cpu', tmp_path / 'gpu')
  for platform in ('cpu', 'gpu'):
    done = command(*train, f'--workdir={tmp_path / platform}', platform=PLATFORMS[platform])
    assert done.returncode == 0, done.stderr
  assert ' x cpu' not in json.loads((tmp_path / 'gpu' / 'run.json').read_text())['devices']
  ours, theirs = losses(tmp_path / 'gpu'), losses(tmp_path / 'cpu')
  assert ours.keys() == theirs.keys() and max(step for step, _ in ours) == 11
  for key, value in ours.items():
    np.testing.assert_allclose(value, theirs[key], rtol=1e-9, atol=1e-12, err_msg=str(key))


def test_bfloat16_trains_on_a_gpu_and_a_cpu_translates_the_same(command, picture_folder, tmp_path):
  run, spec = tmp_path / 'run', f'pix2pix:data=folder,path={picture_folder},runlocal'
  trained = command(
    'i2i_jax.train',
    f'--config={spec}',
    '--config.data.channels_a=1',
    '--config.precision=bfloat16',
    '--config.remat=True',
    f'--workdir={run}',
    platform=PLATFORMS['gpu'],
  )
  assert trained.returncode == 0, trained.stderr
  assert command('i2i_jax.evaluate', f'--workdir={run}', platform=PLATFORMS['gpu']).returncode == 0
  pictures = {}
  for platform in ('cpu', 'gpu'):
    out = tmp_path / platform
    done = command(
      'i2i_jax.translate',
      f'--workdir={run}',
      f'--input={picture_folder / "test"}',
      f'--output={out}',
      platform=PLATFORMS[platform],
    )
    assert done.returncode == 0, done.stderr
    pictures[platform] = [images.read(path).astype(float) for path in sorted(out.iterdir())]
  for ours, theirs in zip(pictures['gpu'], pictures['cpu'], strict=True):
    assert abs(ours - theirs).mean() < 1.5  # of 255: what 8 bits of a bfloat16's fraction leave of a picture
