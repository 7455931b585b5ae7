"""Bad commands: refused in one line, with what to do, before JAX is imported and before anything is made."""

import subprocess
import sys

import pytest

from i2i_jax import cli, import_torch, options, ranges
from i2i_jax.errors import BadInput
from i2i_jax.exporting import torch_weights
from i2i_jax.sweeps.experiment import read_experiment
from tests.flags import UNPOLISHED

CONFIG = 'from i2i_jax import fields\n\n\ndef get_config(arg=""):\n  config = fields.defaults()\n'
EXPERIMENT = '"""Which?"""\nCONFIG = "pix2pix"\n\n\ndef sweep():\n  yield "a", {}\n'


def refused(monkeypatch, command, *arguments):
  """What `i2i COMMAND ARGUMENTS` says when it refuses its options."""
  monkeypatch.setattr(sys, 'argv', [f'i2i {command}', *map(str, arguments)])
  with pytest.raises(BadInput) as error:
    options.COMMANDS[command]()
  assert '\n' not in str(error.value)
  return str(error.value)


@pytest.mark.parametrize(
  ('text', 'words'),
  [
    ('def get_config(:', ', line 1: SyntaxError: invalid syntax'),
    ('this is no Python', 'mine.py, line 1: SyntaxError'),
    ('x = 1\n', 'has no function get_config'),
    ('import nowhere_to_be_found\n', "mine.py, line 1: ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
    (f'{CONFIG}  return 1 / 0\n', 'mine.py, line 6: ZeroDivisionError: division by zero'),
    (f'{CONFIG}  raise SystemExit(3)\n', 'mine.py, line 6: SystemExit: 3'),
    (f'{CONFIG}  config.stpes = 3\n  return config\n', ''),
    (f'{CONFIG}  config.lock().stpes = 3\n', "mine.py, line 6: AttributeError"),
    (f'{CONFIG}  config.steps = "many"\n', 'mine.py, line 6: TypeError'),
    (CONFIG, 'its get_config returns NoneType; it must return i2i_jax.fields.defaults(), edited'),
    (f'{CONFIG}  return {{"steps": 3}}\n', 'its get_config returns dict'),
    (f'{CONFIG}  del config.optim.lr\n  return config\n', 'its config lacks optim.lr'),
    (f'{CONFIG}  config.optim.b1 = 2\n  return config\n', 'config.optim.b1 = 2.0 must be a finite number, from 0 to'),
    ('def get_config(a, b):\n  return a\n', 'TypeError'),
    ('\0', 'null bytes'),
  ],
)  # fmt: skip
def test_a_config_file_that_is_none(monkeypatch, tmp_path, text, words):
  file = tmp_path / 'mine.py'
  file.write_text(text)
  if not words:
    options.load([f'--config={file}'])  # a field more is the user's own
    return
  said = refused(monkeypatch, 'train', f'--config={file}', f'--workdir={tmp_path / "run"}')
  assert words in said and ('config.' in said or str(file) in said), said
  assert sorted(p.name for p in tmp_path.iterdir() if p.name != '__pycache__') == ['mine.py']


@pytest.mark.parametrize(
  ('text', 'words'),
  [
    ('', 'is damaged: empty'),
    ('{"steps": 3', 'is damaged: not JSON'),
    ('[]', 'is damaged: it is a list, not an object'),
    ('3', 'is damaged: it is a whole number, not an object'),
    ('null', 'is damaged: it is null, not an object'),
    ('{"optim": 3}', 'is damaged: optim is 3, not a group of fields'),
    ('{"steps": "many"}', ".steps = 'many' must be a whole number, from 1 to 2147483647"),
    ('{"data": {"crop_size": [64]}}', '.data.crop_size = (64,) must be 2 whole numbers, from 1 to 16384'),
    ('{"data": {"crop_size": [1000000, 1000000]}}', 'from 1 to 16384'),
    ('{"steps": 1e400}', '.steps = inf must be a whole number'),
    ('[' * 100_000, 'not JSON'),
  ],
)
def test_a_config_of_json_that_is_none(monkeypatch, tmp_path, text, words):
  file = tmp_path / 'config.json'
  file.write_text(text)
  said = refused(monkeypatch, 'train', f'--config={file}', f'--workdir={tmp_path / "run"}')
  assert said.startswith(str(file)) and words in said, said


def test_a_config_of_json_that_is_binary(monkeypatch, tmp_path):
  file = tmp_path / 'config.json'
  file.write_bytes(b'\x89PNG\xff\x00')
  assert 'is damaged: not text' in refused(monkeypatch, 'train', f'--config={file}', '--workdir=x')


@pytest.mark.parametrize(
  ('old', 'new', 'words'),
  [
    ('def sweep():', 'def sweep(:', 'toy.py, line 5: SyntaxError'),
    ('def sweep', 'def swep', 'has no sweep'),
    ('"""Which?"""', '', 'has no docstring'),
    ('CONFIG =', 'KONFIG =', 'has no CONFIG'),
    ('"pix2pix"', '3', 'CONFIG = 3 must be text'),
    ('"pix2pix"', '"pix2pxi"', "did you mean 'pix2pix'"),
    ('yield "a", {}', 'yield 1 / 0', 'toy.py, line 6: ZeroDivisionError'),
    ('yield "a", {}', 'yield "a", {}; yield "a", {}', 'must differ'),
    ('yield "a", {}', 'yield "..", {}', 'must differ, and be of letters'),
    ('yield "a", {}', 'yield "a"', 'must yield (name, fields)'),
    ('yield "a", {}', 'yield "a", []', 'toy.py: a: [] must be a dict of fields'),
    ('yield "a", {}', 'yield "a", {3: 4}', 'must be a dict of fields'),
    ('yield "a", {}', 'return []', 'sweep() yields no variant'),
    ('yield "a", {}', 'return 3', "'int' object is not iterable"),
    ('yield "a", {}', 'yield "a", {"optim.b1": 2.0}', 'a: config.optim.b1 = 2.0 must be a finite number'),
    ('yield "a", {}', 'yield "a", {"data.crop_size": 64}', 'config.data.crop_size'),
    ('CONFIG', 'FIELDS = 3\nCONFIG', 'FIELDS: 3 must be a dict'),
    ('CONFIG', 'SHOW = "psnr"\nCONFIG', "SHOW = 'psnr' must be a list of names"),
    ('CONFIG', 'COMPARE = 3\nCONFIG', 'COMPARE = 3 must be a list of pairs'),
    ('CONFIG', 'COMPARE = [3]\nCONFIG', 'COMPARE: 3 is not a pair'),
    ('CONFIG', 'MATCH = "parms"\nCONFIG', "did you mean 'params'"),
    ('CONFIG', 'PROTOCOL = "pixle"\nCONFIG', "did you mean 'pixel'"),
    ('CONFIG', 'METRIC = None\nCONFIG', 'METRIC = None must be text'),
  ],
)  # fmt: skip
def test_an_experiments_file_that_is_none(monkeypatch, tmp_path, old, new, words):
  file = tmp_path / 'toy.py'
  file.write_text(EXPERIMENT.replace(old, new, 1))
  said = refused(monkeypatch, 'sweep', f'--experiment={file}', f'--workdir={tmp_path / "w"}')
  assert words in said, said
  assert not (tmp_path / 'w').exists()
  file.write_text(EXPERIMENT)
  assert read_experiment(file).variants == [('a', {})]


@pytest.mark.parametrize(
  ('command', 'arguments', 'words'),
  [
    ('train', ['--workdir=x'], 'the following arguments are required: --config'),
    ('train', ['--config=pix2pix'], '--workdir is missing'),
    ('train', ['--config=pix2pix', '--workdri=x'], "there is no option --workdri: did you mean '--workdir'?"),
    ('train', ['--config=pix2pix', '--workdir=x', '--stop_at=0'], '--stop_at=0 must be at least 1'),
    ('train', ['--config=pix2pix', '--workdir=x', '--stop_at=ten'], "--stop_at: invalid int value: 'ten'"),
    ('train', ['--config=pix2pix', '--workdir=x', '--mesh=model=2'], '--mesh model=2: give data=N'),
    ('train', ['--config=pix2pix', '--workdir=x', '--init_from=/nowhere'], '--init_from: there is no folder'),
    ('train', ['--config=pix2pix:data=folder,path=/nowhere', '--workdir=x'], 'config.data.path: there is no folder'),
    ('train', ['--config=pix2pix', '--workdir=x', '--config.gen.attention=up1=sagen'], "did you mean 'sagan'"),
    ('train', ['--config=pix2pix', '--workdir=x', '--config.steps=2.5'], 'config.steps=2.5: it must be a whole'),
    ('train', ['--config=pix2pix', '--workdir=x', '--config.ema=1'], 'config.ema = 1.0 must be a finite number'),
    ('train', ['--config=pix2pix:size=-5', '--workdir=x'], "argument 'size' = -5 must be from 0 to 16384"),
    ('train', ['--config=pix2pix', '--workdir=tests'], 'is not empty and no run of ours'),
    ('check', ['--config=pix2pix', '--outptu=x'], "did you mean '--output'"),
    ('sweep', ['--experiment=/nowhere.py', '--workdir=x'], 'there is no Python file /nowhere.py'),
    ('sweep', ['--experiment=experiments/attention.py', '--workdir=x', '--seeds=0'], 'must be at least 1'),
    ('evaluate', ['--workdir=/nowhere'], '--workdir: there is no folder /nowhere'),
    ('evaluate', ['--workdir=tests'], 'holds no run'),
    ('evaluate', ['--workdir=x', '--protocol=pixl'], "did you mean 'pixel'"),
    ('evaluate', ['--workdir=x', '--split=tests'], "invalid choice: 'tests'"),
    ('evaluate', ['--workdir=x', '--weights=/nowhere.pth'], '--weights: there is no file /nowhere.pth'),
    ('evaluate', ['--workdir=x', 'stray'], "'stray' belongs to no option"),
    ('translate', ['--workdir=x', '--input=/nowhere', '--output=y'], '--input: there is no /nowhere'),
    ('translate', ['--workdir=x', '--input=tests', '--output=setup.py'], '--output: setup.py is a file'),
    ('report', ['--workdir=/nowhere'], 'there is no folder /nowhere'),
    ('attention_maps', ['--workdir=x', '--count=0'], '--count=0 must be at least 1'),
    ('export_torch', ['--workdir=x', '--output=a.onnx'], 'must end in .pth, .pt, .safetensors'),
    ('export_torch', ['--workdir=x'], 'required: --output'),
    ('import_torch', ['--weights=/nowhere.pth', '--net=unet_256', '--output=x'], '--weights: there is no file'),
    ('import_torch', ['--weights=a.pth', '--net=unet', '--output=x'], "invalid choice: 'unet'"),
  ],
)  # fmt: skip
def test_bad_options(monkeypatch, command, arguments, words):
  assert words in refused(monkeypatch, command, *arguments)


def test_a_step_that_is_not_there(monkeypatch, finished):
  assert 'holds the steps 3, 6' in refused(monkeypatch, 'evaluate', f'--workdir={finished}', '--step=4')
  assert 'give a step, best' in refused(monkeypatch, 'evaluate', f'--workdir={finished}', '--step=newest')


def test_another_configs_run_is_refused_by_the_options_alone(monkeypatch, finished):
  said = refused(monkeypatch, 'train', '--config=pix2pix:runlocal', f'--workdir={finished}')
  assert "holds another config's run" in said


def test_the_names_of_published_nets_are_those_that_are_read():
  assert tuple(import_torch.GENERATORS) == options.TORCH_NETS
  assert tuple(import_torch.DISCRIMINATORS) == options.TORCH_DISCS
  assert torch_weights.FORMATS == options.TORCH_FILES


def test_what_is_wrong_is_said_before_jax_is_imported(tmp_path):
  """Where JAX, Orbax and the rest cannot be imported at all."""
  file = tmp_path / 'mine.py'
  file.write_text(f'{CONFIG}  config.optim.b1 = 2\n  return config\n')
  bad = [
    ['train', f'--config={file}', '--workdir=x'],
    ['train', '--config=pix2pix', '--workdir=x', '--config.data.crop_size=(0,0)'],
    ['sweep', '--experiment=/nowhere.py', '--workdir=x'],
    ['translate', '--workdir=/nowhere', '--input=.', '--output=y'],
  ]
  code = (
    'import sys\n'
    'for name in ("jax", "flax", "orbax", "grain", "optax", "scipy"):\n  sys.modules[name] = None\n'
    'from i2i_jax import cli, options\n'
    f'for name, *rest in {bad!r}:\n'
    '  sys.argv = [name, *rest]\n'
    '  try:\n    options.COMMANDS[name]()\n  except options.BadInput as error:\n    print(error)\n'
  )
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=100)
  assert done.returncode == 0 and len(done.stdout.splitlines()) == len(bad), done.stdout + done.stderr


def test_the_command_itself(tmp_path):
  """A real process: exit code 2, one line, nothing made."""
  environment = {
    'PYTHONPATH': str(ranges.PACKAGE.parent),
    'XLA_FLAGS': UNPOLISHED,
    'PATH': '/usr/bin:/bin',
    'HOME': str(tmp_path),
  }
  bad = [sys.executable, '-m', 'i2i_jax', 'train', '--config=pix2pix', '--workdir=run', '--config.optim.b2=1.0']
  done = subprocess.run(bad, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=100)
  assert done.returncode == 2 and done.stderr.count('\n') == 1
  assert done.stderr.startswith('error: config.optim.b2 = 1.0 must be a finite number, from 0 to below 1')
  assert not (tmp_path / 'run').exists()


def test_the_cache_is_set_up_for_a_jax_that_is_not_imported_yet(tmp_path, monkeypatch):
  monkeypatch.setattr(sys, 'modules', {k: v for k, v in sys.modules.items() if k != 'jax'})
  monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR')
  monkeypatch.delenv('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS')
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  cli.keep_compiled()
  assert cli.os.environ['JAX_COMPILATION_CACHE_DIR'] == str(tmp_path / 'i2i_jax' / 'jax')
  assert float(cli.os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS']) == 0.1
  monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR')
  monkeypatch.delenv('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS')
