"""What is drawn of validation images while training."""

from collections.abc import Callable


def sample_columns(predict: dict[str, Callable], batch: dict) -> dict:
  """What is drawn of a batch while training: for two directions the way there and back, else input and output."""
  a, b = batch['a'], batch['b']
  fake_b = predict['ab'](a)
  if 'ba' not in predict:
    return {'input': a, 'output': fake_b, 'target': b}
  fake_a = predict['ba'](b)
  there = {'A': a, 'to B': fake_b, 'to A again': predict['ba'](fake_b)}
  return there | {'B': b, 'to A': fake_a, 'to B again': predict['ab'](fake_a)}
