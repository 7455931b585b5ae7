"""The specs of blocks, as nobody would write them: a block or one line."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from i2i_jax.errors import BadInput
from i2i_jax.layers import attention

STAGES = ['down1', 'skip2']
PIECES = (
  'down1',
  'skip2',
  '=',
  ';',
  'cbam',
  'sagan',
  '(',
  ')',
  'reduction',
  'kernel',
  '8',
  '-1',
  '1e999',
  ',',
  "'\\d'",
)


@pytest.mark.parametrize(
  'spec',
  [
    '-' * 5000 + '1',
    'cbam(reduction=1' + '+1j' * 3000 + ')',
    'cbam(reduction={[1]: 2})',
    'cbam(reduction={1, []})',
    'cbam(reduction=8, reduction=9)',
    "cbam(reduction='\\d')",
    'cbam' + '(' * 300,
    '1 is 1',
  ],
)
def test_found_by_fuzzing(spec):
  """Each raised something else than BadInput, warned, or was taken for another."""
  with pytest.raises(BadInput, match="not of the form 'cbam'") as refused:
    attention.parse(f'down1={spec}', STAGES, 'config.gen.attention')
  assert '\n' not in str(refused.value) and len(str(refused.value)) < 250


@settings(derandomize=True, deadline=None, database=None, max_examples=50, suppress_health_check=list(HealthCheck))
@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=14).map(''.join)))
def test_whatever_is_asked_for_there_are_blocks_or_one_line(text):
  try:
    found = attention.parse(text, STAGES, 'config.gen.attention')
  except BadInput as error:
    assert '\n' not in str(error)
  else:
    assert set(found) <= set(STAGES)
