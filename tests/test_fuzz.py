"""Whatever a command line, an experiment or a file of ours says: a value, or one line on what is wrong."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from i2i_jax import config as configuration
from i2i_jax import fields, ranges
from i2i_jax.errors import BadInput
from i2i_jax.runs import stored
from i2i_jax.sweeps import experiment

QUICK = settings(
  derandomize=True, deadline=None, database=None, max_examples=40, suppress_health_check=list(HealthCheck)
)
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([2**63, -(2**63), 10**400, 1e308, -0.0]))
WORDS = st.one_of(
  st.text(max_size=12),
  NUMBERS.map(str),
  st.sampled_from(['', 'None', 'nan', 'inf', '()', '(1,)', '(1, 2', '((1, 2),)', '[1]', '{}', "'a'", 'True', '1e5']),
  st.lists(NUMBERS, max_size=3).map(lambda numbers: str(tuple(numbers))),
)
JSON = st.recursive(
  st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=5)),
  lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
  max_leaves=8,
)
FIELDS = sorted(ranges.RANGES)


def one_line(function, *arguments):
  """What it returns; None where it refuses in one line."""
  try:
    return function(*arguments)
  except BadInput as error:
    text = str(error)
    assert text.strip() and len(text.splitlines()) == 1, text
    return None


@QUICK
@given(field=st.sampled_from(FIELDS), value=WORDS)
@example(field='data.crop_size', value='(64\n,64')
@example(field='gen.attention', value='{')
def test_any_value_of_any_field(field, value):
  config = one_line(configuration.with_fields, fields.defaults(), [f'--config.{field}={value}'])
  if config:
    one_line(ranges.check, config[0])


@QUICK
@given(argument=st.text(st.sampled_from('--config.optimlr=steps: \n0aé'), max_size=20))
@example(argument='--config.')
@example(argument='--config..')
@example(argument='--config.=3')
@example(argument='--config.optim=')
@example(argument='--')
@example(argument='-')
def test_any_argument(argument):
  one_line(configuration.load, ['--config=pix2pix', argument])


@QUICK
@given(
  argument=st.lists(
    st.tuples(st.sampled_from([*fields.DATA, 'local', '', 'x']), st.sampled_from(['=', '']), WORDS).map(''.join),
    max_size=3,
  ).map(','.join),
  name=st.sampled_from(['pix2pix', 'cyclegan', 'ugatit', 'pix2pixhd']),
)
@example(argument='size=' + '9' * 4000, name='pix2pix')
@example(argument='size=' + '9' * 5000, name='pix2pix')
@example(argument='size=0,task=', name='cyclegan')
@example(argument='a\x1cb', name='pix2pix')
@example(argument='a\u2028b=\n', name='pix2pix')
@example(argument='size=1', name='pix2pix')
@example(argument='local=15', name='pix2pixhd')
def test_any_argument_after_the_colon(argument, name):
  one_line(configuration.load, [f'--config={name}:{argument}'])


@QUICK
@given(
  values=st.dictionaries(st.sampled_from([*(f.partition('.')[0] for f in FIELDS), 'x', '', 'a.b']), JSON, max_size=4)
)
@example(values={'data': {'crop_size': [10**400, 1]}})
@example(values={'optim': {'lr': 10**400}})
@example(values={'gen': {'attention': {'': None}}})
@example(values={'to_dict': 3, 'items': 3, '_fields': 3})
def test_any_config_of_json(values):
  one_line(configuration.from_dict, values, 'run/config.json')


@QUICK
@given(data=st.one_of(st.binary(max_size=40), JSON.map(lambda value: json.dumps(value).encode())))
@example(data=b'[' * 100_000)
@example(data=b'1' * 5000)
@example(data=b'\xef\xbb\xbf{}')
@example(data=b'{"step": NaN}')
def test_any_bytes_in_a_file_of_ours(data):
  with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / 'run.json'
    file.write_bytes(data)
    for shape in (stored.NOTES, stored.SCORES, stored.RESULT, stored.WIDTHS, stored.META, dict):
      one_line(stored.read_json, file, shape, 'do this')
    for line in stored.read_lines(file, stored.LINE):
      assert isinstance(line['step'], int)


@QUICK
@given(shape=st.sampled_from([stored.NOTES, stored.SCORES, stored.RESULT, stored.META]), value=JSON)
def test_what_has_the_shape_holds_what_its_readers_take(shape, value):
  found = one_line(stored.checked, value, shape, 'a file')
  if found is not None:
    assert {name for name in shape if isinstance(name, str) and not name.endswith('?')} <= found.keys()


THINGS = st.one_of(
  JSON, st.sampled_from([{'optim.lr': 1.0}, ('a', {}), [('a', {})], [('a', {}, 3)], 'sweep', object()])
)


@QUICK
@given(
  given_of=st.dictionaries(
    st.sampled_from(['CONFIG', 'FIELDS', 'MATCH', 'METRIC', 'PROTOCOL', 'SHOW', 'COMPARE']), THINGS
  ),
  variants=st.one_of(THINGS, st.lists(st.tuples(st.sampled_from(['a', 'b', '..', '']), THINGS), max_size=3)),
)
def test_any_experiment(given_of, variants):
  module = type('Module', (), {'__doc__': 'Why?', 'CONFIG': 'pix2pix', **given_of, 'sweep': lambda: variants})
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(experiment, 'run_file', lambda path, where: module)
    found = one_line(experiment.read_experiment, Path(__file__))
  if found:
    one_line(experiment.configs_of, found, [])


@pytest.mark.parametrize('text', ['', 'x = [', 'def sweep(', '\0', 'raise KeyboardInterrupt2', '\xff', 'yield 3'])
def test_any_text_of_an_experiment(tmp_path, text):
  file = tmp_path / 'e.py'
  file.write_text(text, encoding='latin-1')
  assert one_line(experiment.read_experiment, file) is None
