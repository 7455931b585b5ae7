"""What each field of a config may be: one table, looked at before anything is made, and before JAX is imported.

A field that is not in it, like one that you add, only has to be finite where it is a number. What needs more than
the field itself, such as whether a net fits the images, its reader checks.
"""

import math
from collections.abc import Iterator
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from i2i_jax.errors import BadInput, choice
from i2i_jax.registry import names

PACKAGE = Path(__file__).parent
LARGEST = 16384  # px a side
MOST = 2**31 - 1  # steps, which a State counts in 32 bits
KINDS = {int: 'a whole number', float: 'a finite number', bool: 'True or False', str: 'text'}


class Allowed(NamedTuple):
  """The values of a field: of which kind, how many, in which range."""

  kind: type = str
  low: float = -math.inf
  high: float = math.inf
  below: bool = False  # `high` itself is too much
  above: bool = False  # `low` itself is too little
  shape: tuple[int | None, ...] = ()  # of a tuple, and of the tuples in it; None: of any length
  options: tuple[Any, ...] = ()  # the values that there are
  dotted: bool = False  # or the full name of one's own, with a dot
  several: bool = False  # names with commas between them, or none
  empty: bool = False  # also None, for "not set"
  what: str = ''  # the numbers of a tuple are

  def is_kind(self, value: Any) -> bool:
    if self.kind is bool or isinstance(value, bool):
      return self.kind is bool and isinstance(value, bool)
    if self.kind is float:
      return isinstance(value, Real) and math.isfinite(float_of(value))
    return isinstance(value, Integral if self.kind is int else str)

  def is_within(self, value: Any) -> bool:
    if self.kind not in (int, float) or self.options:
      return True
    low = self.low < value if self.above else self.low <= value
    return low and (value < self.high if self.below else value <= self.high)

  def range_text(self) -> str:
    """', from 0 to below 1'."""
    if self.kind not in (int, float) or self.low == -math.inf:
      return ''
    if self.high < math.inf:
      return f', from {self.low} to {"below " if self.below else ""}{self.high}'
    return ', above 0' if self.above else ', zero or more'

  def text(self) -> str:
    """'a whole number, at least 1'."""
    if not self.shape:
      return KINDS[self.kind] + self.range_text()
    noun = KINDS[self.kind].removeprefix('a ') + 's'
    if len(self.shape) == 2:
      inner = f'{self.shape[1]} {noun}' if self.shape[1] else noun
      return f'a tuple of tuples of {inner}{self.range_text()}{self.what}'
    return f'{"a tuple of" if self.shape[0] is None else self.shape[0]} {noun}{self.range_text()}{self.what}'


def float_of(value: Any) -> float:
  try:
    return float(value)
  except OverflowError:  # of a whole number
    return math.inf


def count(low: int = 1, high: float = MOST, **more: Any) -> Allowed:
  return Allowed(int, low, high, **more)


def number(low: float = 0, high: float = math.inf, **more: Any) -> Allowed:
  return Allowed(float, low, high, **more)


def one_of(*options: Any, **more: Any) -> Allowed:
  return Allowed(type(options[0]), options=options, **more)


def registered(folder: str, **more: Any) -> Allowed:
  """The files of a registry's folder are the choices."""
  return one_of(*names([str(PACKAGE / folder)]), **more)


FLAG, SHARE, BELOW_ONE = Allowed(bool), number(0, 1), number(0, 1, below=True)
TEXT = Allowed(str)  # whatever it says, its reader checks
SIZE = count(1, LARGEST, shape=(2,), what=': (height, width) in pixels')
FREE = None  # text or a dict, checked where it is read
NORMS = one_of('batch', 'instance', 'group', 'layer', 'none')

RANGES: dict[str, Allowed | None] = {
  'method': registered('methods'),
  'seed': count(0, 2**32 - 1),
  'steps': count(),
  'batch_size': count(),
  'precision': one_of('bfloat16', 'float32', 'float64'),
  'remat': FLAG,
  'pool': count(0),
  'ema': BELOW_ONE,
  'order': one_of('paper', 'disc_first', 'gen_first'),
  'diffaugment': one_of('color', 'translation', 'cutout', several=True),
  'ada.target': BELOW_ONE,
  'ada.kimg': number(above=True),
  'ada.every': count(),
  'ada.set': TEXT,
  'grow': count(0, shape=(None, 2), what=', like ((0, 64), (5000, 128))'),
  'data.name': registered('data/sources', dotted=True),
  'data.paired': FLAG,
  'data.channels_a': count(1, 4096),
  'data.channels_b': count(1, 4096),
  'data.depth_a': one_of(8, 16, 32),
  'data.depth_b': one_of(8, 16, 32),
  'data.range_a': number(-math.inf, shape=(2,), what=': (low, high)'),
  'data.range_b': number(-math.inf, shape=(2,), what=': (low, high)'),
  'data.clip': FLAG,
  'data.load_size': SIZE,
  'data.crop_size': SIZE,
  'data.fit': one_of('stretch', 'cover'),
  'data.labels': number(shape=(None, None), what=', like ((0, 0, 0), (255, 0, 0))'),
  'data.onehot': FLAG,
  'data.edges': FLAG,
  'data.flip': FLAG,
  'data.task': TEXT,
  'data.size': count(1, LARGEST),
  'data.dir': TEXT,
  'data.path': TEXT,
  'data.column_a': TEXT,
  'data.column_b': TEXT,
  'data.direction': one_of('ab', 'ba'),
  'data.wrong_pairs': SHARE,
  'data.limit': count(0),
  'data.jitter': SHARE,
  'data.degrade': TEXT,
  'gen.name': registered('models'),
  'gen.width': count(1, LARGEST),
  'gen.widths': count(1, LARGEST, shape=(None,)),
  'gen.norm': NORMS,
  'gen.dropout': BELOW_ONE,
  'gen.upsample': one_of('transpose', 'nearest', 'bilinear'),
  'gen.padding': one_of('zero', 'reflect', 'replicate'),
  'gen.side_outputs': count(0, 14),
  'gen.residual': FLAG,
  'gen.attention': FREE,
  'gen.depth': count(1, 14),
  'gen.max_width': count(1, LARGEST),
  'gen.blocks': count(0, 1000),
  'gen.downsample': one_of('stride', 'blur'),
  'gen.halvings': count(0, 14),
  'gen.local': count(0, 14),
  'gen.local_blocks': count(0, 1000),
  'gen.freeze_global_steps': count(0),
  'gen.light': FLAG,
  'disc.name': registered('models'),
  'disc.layers': count(0, 14),
  'disc.width': count(1, LARGEST),
  'disc.norm': NORMS,
  'disc.padding': count(0, 64),
  'disc.scales': count(1, 4),
  'disc.spectral_norm': FLAG,
  'disc.attention': FREE,
  'loss.gan': one_of('vanilla', 'lsgan', 'hinge', 'wgan-gp', 'none'),
  'loss.gan_weight': number(),
  'loss.reconstruction': TEXT,
  'loss.reconstruction_weight': number(),
  'loss.gradient_penalty': number(empty=True),
  'loss.r1': number(),
  'loss.r1_every': count(),
  'loss.feature_matching': number(),
  'loss.laplacian': number(),
  'loss.laplacian_levels': count(1, 14),
  'loss.ms_ssim': number(),
  'loss.ms_ssim_levels': count(1, 5),
  'loss.side_outputs': number(),
  'loss.cam': number(),
  'loss.cycle_a': number(),
  'loss.cycle_b': number(),
  'loss.identity': number(),
  'optim.lr': number(),
  'optim.disc_lr_ratio': number(),
  'optim.name': TEXT,
  'optim.b1': BELOW_ONE,
  'optim.b2': BELOW_ONE,
  'optim.weight_decay': number(),
  'optim.clip': number(),
  'optim.schedule': one_of('linear', 'pix2pixhd', 'cosine', 'step', 'constant'),
  'optim.decay_from': SHARE,
  'optim.per_epoch': FLAG,
  'optim.gen_every': count(),
  'optim.disc_every': count(),
  'optim.adaptive': SHARE,
  'optim.repeat': count(0, 100),
  'optim.weak': SHARE,
  'test.dropout': FLAG,
  'test.batch_stats': one_of('batch', 'running'),
  'writers': one_of('tensorboard', 'wandb', several=True),
  'log_every': count(),
  'health_every': count(0),
  'eval_every': count(),
  'evals': TEXT,
  'checkpoint_every': count(),
  'keep': count(),
  'keep_every': count(0),
  'samples': count(0, 1000),
}


def check(config: ConfigDict, where: str = 'config', *, stored: bool = False) -> None:
  """Raises BadInput for the first field whose value is none of those in RANGES.

  Args:
    where: what stands before a field's name in the error. stored: the config is that of a run; what matters only
      while it trains may then be what an older version took.
  """
  for name, value in flat(config):
    allowed = RANGES.get(name)
    if allowed:
      check_value(allowed, value, f'{where}.{name}', stored and not name.startswith(('data.', 'gen.', 'disc.')))
    elif isinstance(value, float) and not math.isfinite(value):
      raise BadInput(f'{where}.{name} = {value} must be a finite number')


def flat(config: ConfigDict, before: str = '') -> Iterator[tuple[str, Any]]:
  """('optim.lr', 0.1) for each field."""
  for name, value in config.items():
    if isinstance(value, ConfigDict) and RANGES.get(before + name, '') is not FREE:
      yield from flat(value, f'{before}{name}.')
    else:
      yield before + name, value


def check_value(allowed: Allowed, value: Any, where: str, any_range: bool = False) -> None:
  """Raises BadInput where a value is not `allowed`; `any_range`: of the right kind is enough."""
  if value is None and allowed.empty:
    return
  values = list(leaves(value, allowed.shape))
  if (
    None in values or not all(map(allowed.is_kind, values)) or not (any_range or all(map(allowed.is_within, values)))
  ):
    raise BadInput(f'{where} = {value!r} must be {allowed.text()}')
  if not allowed.options:
    return
  given = [name.strip() for name in value.split(',') if name.strip()] if allowed.several else [value]
  for name in given:
    if not (allowed.dotted and '.' in name):
      choice(where, name, allowed.options)


def leaves(value: Any, shape: tuple[int | None, ...]) -> Iterator[Any]:
  """What a tuple of that shape holds; None where it has another."""
  if not shape:
    yield value
  elif not isinstance(value, tuple | list) or shape[0] not in (None, len(value)):
    yield None
  else:
    for part in value:
      yield from leaves(part, shape[1:])
