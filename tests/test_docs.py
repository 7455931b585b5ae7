"""README and docs against the code: commands, fields, paths, links, and examples that run."""

import ast
import inspect
import re
import runpy
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import setuptools

from i2i_jax import data, fields, methods, options
from i2i_jax.__main__ import COMMANDS
from i2i_jax.config import load, value_at
from i2i_jax.data import images
from i2i_jax.evaluation import metrics
from i2i_jax.runs import checkpoint
from i2i_jax.sweep import variant_configs
from i2i_jax.sweeps.experiment import read_experiment

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / 'docs').glob('*.md'))
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', ROOT / 'experiments' / 'README.md', *DOCS]
FOLDERS = ('configs', 'docs', 'experiments', 'i2i_jax', 'notebooks', 'tests')
MOST_LINES = 150
EXAMPLES = ('rates.py', 'mine/disks.py', 'methods/mine.py', 'models/mine.py', 'test.py')  # a reader's, or another's
each_page = pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, language: str = '') -> list[str]:
  """What stands between ``` and ```."""
  return re.findall(rf'^```{language}\n(.*?)^```$', page.read_text(), re.M | re.S)


def spans(page: Path) -> list[str]:
  """What stands between ` and `."""
  return re.findall(r'`([^`]+)`', re.sub(r'^```.*?^```$', '', page.read_text(), flags=re.M | re.S))


def commands(page: Path) -> list[list[str]]:
  """The words after `i2i`, of each command of a page, in blocks and in text."""
  lines = [line for block in blocks(page) for line in block.replace('\\\n', ' ').splitlines()]
  found = [re.search(r'(?:^|\s)i2i (.*)', line) for line in [*lines, *spans(page)]]
  return [shlex.split(match[1], comments=True) for match in found if match]


def example(page: str, words: str) -> str:
  """The Python block of docs/PAGE.md that holds `words`."""
  (block,) = [block for block in blocks(ROOT / 'docs' / f'{page}.md', 'python') if words in block]
  return block


# ------------------------------------------------------------------------------------------------------ what is named


def test_the_readme_is_short_and_leads_to_every_page():
  text = (ROOT / 'README.md').read_text()
  assert len(text.splitlines()) <= MOST_LINES
  for page in DOCS:
    assert f'](docs/{page.name})' in text, page


@each_page
def test_links_and_pictures_are_there(page):
  for target in re.findall(r'\]\(([^)\s]+)\)', page.read_text()):
    if not target.startswith(('http://', 'https://', '#')):
      assert (page.parent / target.partition('#')[0]).exists(), target


@each_page
def test_paths_are_there(page):
  places = (ROOT, ROOT / 'i2i_jax', page.parent)
  for path in filter(re.compile(r'[\w./-]+').fullmatch, spans(page)):
    named = path.endswith('.py') or path.partition('/')[0] in FOLDERS
    if named and path not in EXAMPLES and 'NAME' not in path:
      assert any((place / path).exists() for place in places), path


def test_the_layout_is_the_tree():
  (block,) = [block for block in blocks(ROOT / 'docs' / 'extending.md') if block.startswith('i2i_jax/')]
  places = (ROOT, ROOT / 'experiments', *(path for path in ROOT.glob('i2i_jax/**') if path.is_dir()))
  for name in re.findall(r'(?<![\w/])\w+(?:/|\.py)', block):
    assert any((place / name).exists() for place in places), name
  for init in (ROOT / 'i2i_jax').glob('*/__init__.py'):
    assert f'  {init.parent.name}/' in block, init


@each_page
def test_fields_are_there(page):
  known, text = fields.defaults(), page.read_text()
  named = set(re.findall(r'--config\.([a-z_0-9.]+)', text))
  for span in spans(page):
    named |= set(re.findall(r'(?<![-\w.])config\.([a-z_0-9.]+)', span))
    named |= set(re.findall(r'^((?:data|gen|disc|loss|optim|test)\.[a-z_0-9]+)(?![\w(])', span))
  for name in named - {'json', 'py', 'optim.py', 'test.py'}:
    value_at(known, name.rstrip('.'))


@each_page
def test_commands_and_their_options_are_there(page):
  sources = {path.stem: path.read_text() for path in (ROOT / 'i2i_jax').glob('*.py')}
  targets = re.findall(r'^([\w-]+):', (ROOT / 'Makefile').read_text(), re.M)
  for name, *given in commands(page):
    assert name in (*COMMANDS, 'NAME', '--help'), name
    for option in given:
      flag = option.partition('=')[0]
      if flag.startswith('--') and not flag.startswith('--config.') and flag != '--help':
        taken = inspect.getsource(options.COMMANDS[name]) + inspect.getsource(options.run_parser)
        assert f"'{flag}'" in taken, (name, flag)
  for span in spans(page) if page.name != 'deviations.md' else ():  # which names those of the papers' code
    if flag := re.match(r'--(?!config)\w+', span):
      assert any(f"'{flag[0]}'" in source for source in sources.values()), span
  for text in [*spans(page), *blocks(page)]:
    for target in re.findall(r'^make ([\w-]+)', text, re.M):
      assert target in targets, target


@each_page
def test_what_trains_is_a_config(page):
  for name, *rest in commands(page):
    given = [option for option in rest if option.startswith('--config')]
    if name == 'train' and given and not given[0].endswith('.json'):
      methods.get(load(given))


@each_page
def test_python_parses(page):
  for block in blocks(page, 'python'):
    ast.parse(block)


# ------------------------------------------------------------------------------------------------------ what is shown


def test_the_description_outside_of_the_repository_leads_nowhere_that_is_not_there(monkeypatch):
  given = {}
  monkeypatch.setattr(setuptools, 'setup', lambda **words: given.update(words))
  monkeypatch.chdir(ROOT)
  runpy.run_path('setup.py')
  text = given['long_description']
  assert '![' not in text and 'From the top' not in text
  assert all(target.startswith('https://') for target in re.findall(r'\]\(([^)]+)\)', text))
  assert 'make demo' in text and 'docs/own_images.md has the rest' in text


def test_the_experiment_is_one(tmp_path):
  (tmp_path / 'rates.py').write_text(example('experiments', 'def sweep'))
  experiment = read_experiment(tmp_path / 'rates.py')
  configs = variant_configs(experiment, [], tmp_path / 'widths.json')
  rates = [(config.optim.lr, config.optim.disc_lr_ratio) for config, _ in configs.values()]
  assert len(rates) == len(set(rates)) == 6


def test_the_source_gives_batches(tmp_path, monkeypatch):
  (tmp_path / 'mine').mkdir()
  (tmp_path / 'mine' / 'disks.py').write_text(example('extending', 'class Disks'))
  monkeypatch.syspath_prepend(tmp_path)
  (words,) = [words for words in commands(ROOT / 'docs' / 'extending.md') if '--config.data.name=mine.disks' in words]
  config = load([word for word in words if word.startswith('--config')])
  batch = next(data.train_iterator(data.get(config, 'train'), config))
  assert batch['a'].shape == (config.batch_size, *config.data.crop_size, 1)
  assert batch['a'].mean() > batch['b'].mean() > -1  # a disk has more pixels than its outline
  sources = [data.get(config, split) for split in data.SPLITS]
  assert len({source.fingerprint for source in sources}) == 3
  assert not np.array_equal(sources[0][0]['a'], sources[1][0]['a'])


def test_the_net_and_the_method_train(tiny):
  net, method = {}, {}
  exec(example('extending', 'def generator'), net)
  exec(example('extending', 'def create'), method)
  module = net['generator'](tiny.gen, 3)
  x = jnp.zeros((1, 10, 14, 3))
  (y, out), _ = jax.eval_shape(
    lambda x: module.init_with_output(jax.random.key(0), x, dropout=False, running_stats=False), x
  )
  assert y.shape == x.shape and out == {}

  made, batch = method['create'](tiny, 1), checkpoint.example_batch(tiny)
  state = jax.eval_shape(made.init, jax.random.key(0), batch)
  stepped, logged = jax.eval_shape(made.train_step, state, batch, jax.random.key(0))
  assert jax.tree.structure(stepped) == jax.tree.structure(state) and set(logged) == {'lr', 'loss/gen'}
  fake_b = jax.eval_shape(made.translators['ab'].run, state, batch['a'], jax.random.key(0))
  assert fake_b.shape == batch['b'].shape


def test_the_loss_and_the_metric_are_what_they_say():
  rng = np.random.default_rng(0)
  a, b = jnp.asarray(rng.uniform(-1, 1, (2, 3, 8, 8, 3)), jnp.float32)
  namespace = {'jax': jax, 'jnp': jnp}
  exec(example('extending', 'def log_cosh'), namespace)
  np.testing.assert_allclose(namespace['log_cosh'](a, b), np.log(np.cosh(np.float64(a) - b)).mean(), rtol=1e-5)

  namespace = {**vars(metrics), 'METRICS': dict(metrics.METRICS)}
  exec(example('extending', 'def rmse'), namespace)
  made = namespace['METRICS']['rmse']
  assert (made.label, made.digits, made.unit, made.lower_is_better) == ('RMSE', 4, '', True)
  np.testing.assert_allclose(made.function(a, b), np.sqrt(np.square(np.float64(a) - b).mean((1, 2, 3))), rtol=1e-5)


def test_predict_takes_what_the_page_makes_of_pictures():
  maps = [np.full((4, 6, 3), value, np.uint8) for value in (0, 200)]
  line = next(line for line in example('python', 'run.predict').splitlines() if line.startswith('x = '))
  namespace = {'np': np, 'maps': maps}
  exec(line, namespace)
  np.testing.assert_array_equal(namespace['x'], np.stack([images.to_float(picture) for picture in maps]))
