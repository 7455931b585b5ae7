"""What training scores on the validation split, and how often: config.evals, like 'pixel,kd_lite0:5000'."""

from collections.abc import Iterable

from ml_collections import ConfigDict

from i2i_jax.errors import BadInput, choice
from i2i_jax.evaluation import features, metrics, protocols, scoring


def read(
  config: ConfigDict, paired: bool, targets: Iterable[str] = 'b'
) -> list[tuple[int, tuple[str, ...], dict[str, features.Weights]]]:
  """(each so many steps, metrics, weights of the nets that they need), the most frequent first.

  Args:
    targets: the sides that outputs are compared with, a and b where both directions are learnt.

  Raises:
    BadInput: as `names`; a net whose weights are not at hand, or that does not see images of so many channels.
  """
  return [(steps, of, scoring.nets_of(of, config, targets=targets)) for steps, of in names(config, paired).items()]


def names(config: ConfigDict, paired: bool) -> dict[int, tuple[str, ...]]:
  """The metrics by the number of steps between two scores; each once, where it is most frequent.

  Raises:
    BadInput: an unknown name, or steps that are no multiple of config.eval_every.
  """
  found: dict[int, list[str]] = {}
  for item in filter(None, map(str.strip, config.evals.split(','))):
    name, _, given = item.partition(':')
    if given and not (given.isdigit() and int(given) > 0 and int(given) % config.eval_every == 0):
      raise BadInput(f'config.evals: {item}: its steps must be a multiple of config.eval_every = {config.eval_every}')
    choice('config.evals', name, (*protocols.NAMES, *metrics.METRICS))
    rules = protocols.get(name) if name in protocols.NAMES else protocols.Protocol((name,))
    found.setdefault(int(given or config.eval_every), []).extend(scoring.names_of(rules, config, paired))
  done: set[str] = set()
  out = {}
  for steps, of in sorted(found.items()):
    if new := tuple(name for name in dict.fromkeys(of) if name not in done):
      out[steps] = new
      done |= set(new)
  return out
