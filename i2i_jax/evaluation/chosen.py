"""Which checkpoint: the newest, one that is named, or the one that is best on the validation split."""

import contextlib
from pathlib import Path

from ml_collections import ConfigDict

from i2i_jax import data
from i2i_jax.config import from_dict
from i2i_jax.errors import BadInput
from i2i_jax.evaluation import metrics
from i2i_jax.runs import checkpoint, folder, layout
from i2i_jax.runs.log import read_log

METRIC = 'psnr'  # of the validation split, that chooses the best checkpoint


def step_of(workdir: Path, given: str | None, split: str = '') -> tuple[int | None, str]:
  """The step that --step=`given` means, None for the newest; and how it was chosen, for the record.

  Raises:
    BadInput: `given` is neither a number nor 'best' nor 'best:METRIC'; nothing was scored on validation; the
      validation images are those of `split`, on which the checkpoint is to be scored.
  """
  if given is None:
    return None, 'newest'
  if given.isdigit():
    return int(given), 'given'
  best, _, metric = given.partition(':')
  metric = metric or METRIC
  if best != 'best':
    raise BadInput(f'--step {given}: give a step, best, or best:METRIC')
  step = best_step(workdir, metric)
  if split:
    check_choice(from_dict(folder.read_config(workdir)), split)
  return step, f'best val/{metric}'


def others(workdir: Path, step: int | None, split: str) -> dict[str, tuple[int, str]]:
  """What else of a run can be scored beside a checkpoint's average: a row's name -> (step, 'ema' or 'last').

  Its last weights, where it keeps an average; the checkpoint that was best on validation, unless that would choose on
  the images of `split`.
  """
  config, step = from_dict(folder.read_config(workdir)), checkpoint.pick(workdir, step)
  found = {'last weights': (step, 'last')} if config.ema else {}
  with contextlib.suppress(BadInput):
    check_choice(config, split)
    found[f'best val/{METRIC}'] = (best_step(workdir), 'ema')
  return found


def check_choice(config: ConfigDict, split: str) -> None:
  """Raises BadInput where the validation images are those of `split`: the best on them is no fair score there.

  This happens where one split stands in for the other, as in a folder without val/. Scoring validation itself is not
  refused.
  """
  if split != 'val' and data.get(config, 'val').fingerprint == data.get(config, split).fingerprint:
    raise BadInput(
      f'--step=best: the checkpoint would be chosen on the {split} images themselves, since there are no others for '
      'validation; add a val/ folder, or leave --step out'
    )


def best_step(workdir: Path, metric: str = METRIC) -> int:
  """The step of the checkpoint that scored best on the validation split. Raises BadInput where none was scored."""
  kept = set(checkpoint.steps(workdir))
  log = read_log(workdir / layout.LOG)
  scored = {line['step']: line[f'val/{metric}'] for line in log if line['step'] in kept and f'val/{metric}' in line}
  if not scored:
    raise BadInput(f'{workdir}: no checkpoint has a val/{metric}: set config.checkpoint_every = config.eval_every')
  return min(scored, key=lambda step: (metrics.entry(metric).badness(scored[step]), step))
