"""Scores a run's checkpoint on a split, beside the baselines: the protocol `pixel` (see `i2i evaluate --help`)."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from i2i_jax import data
from i2i_jax.config import read_json
from i2i_jax.data import images
from i2i_jax.errors import BadInput
from i2i_jax.evaluation import baselines, metrics
from i2i_jax.inference.predictor import BATCH, Predictor, load
from i2i_jax.runs import checkpoint, layout
from i2i_jax.runs.folder import write_json

PICTURES = 12  # images of the split, evenly spread, that are kept
FIT_IMAGES = 1024  # training images, evenly spread, that the baselines are fitted on
PROTOCOL = 'pixel'


def score(predictors: dict[str, Callable], batches: Iterable[dict]) -> dict[str, metrics.Scores]:
  """Scores of each `predict(a, first)` over batches {'a', 'b'}. The protocol `pixel` has none of a whole set."""
  parts: dict[str, list] = {who: [] for who in predictors}
  first = 0
  for batch in batches:
    for who, predict in predictors.items():
      fake_b = predict(batch['a'], first).astype(np.float32)
      parts[who].append(jax.device_get(metrics.score(fake_b, batch['b'].astype(np.float32))))
    first += len(batch['a'])
  joined = {who: jax.tree.map(lambda *x: np.concatenate(x), *scores) for who, scores in parts.items()}
  return {who: metrics.Scores(per_image, {}) for who, per_image in joined.items()}


def turned(batches: Iterable[dict], direction: str) -> Iterator[dict]:
  """Batches as `direction` sees them: for 'ba', b is what comes in, and a the target."""
  for batch in batches:
    yield batch if direction == 'ab' else {**batch, 'a': batch['b'], 'b': batch['a']}


def evaluate(
  workdir: Path,
  split: str = 'test',
  step: int | None = None,
  direction: str = 'ab',
  *,
  chosen: str = 'newest',
  rivals: bool = True,
  again: bool = False,
) -> dict:
  """Scores a checkpoint and writes eval_SPLIT.json and its pictures; existing scores are returned unchanged.

  Args:
    step: of the checkpoint; None: the newest. chosen: how it was chosen, for the record (`chosen.step_of`).
    rivals: whether the baselines are fitted and scored too. again: whether existing scores are made again; those
      that lack a metric always are.
  """
  name = layout.scores(split, direction)
  out = workdir / f'{name}.json'
  step = checkpoint.pick(workdir, step)
  old = read_json(out) if out.exists() else {}
  complete = (
    bool(old) and (len(old['scores']) > 1 or not rivals) and not any(map(metrics.lacking, old['scores'].values()))
  )
  if complete and old['step'] == step and not again:
    print(f'{out} holds the scores of step {step} already')
    if old.get('chosen') != chosen:
      old['chosen'] = chosen
      write_json(out, old)
    return old

  trained = load(workdir, step, mesh_spec='', batch=BATCH, ahead=direction)
  run = trained.run
  checkpoint.check_direction(run, direction)
  source = data.get(run.config, split)
  if not source.paired:
    raise BadInput(f'--split {split}: its images have no partners to be scored against; translate them instead')
  predictors = {run.config.method: lambda a, first: trained.predict(a, direction, first)}
  if rivals:
    predictors |= fit_rivals(run.config, direction)
  scores = score(predictors, turned(data.eval_batches(source, run.config, BATCH), direction))
  result = {
    'protocol': PROTOCOL,
    'split': split,
    'direction': direction,
    'step': step,
    'chosen': chosen,  # newest, given, or best val/METRIC
    'weights': 'ema' if run.config.ema else 'final',
    'images': len(source),
    'scores': {who: s.means() for who, s in scores.items()},
    'per_image': {who: {k: v.tolist() for k, v in s.per_image.items()} for who, s in scores.items()},
  }
  keep_pictures(workdir / name, source, trained, direction)
  write_json(out, result)
  return result


def fit_rivals(config: ConfigDict, direction: str) -> dict[str, Callable]:
  """The baselines, fitted on pairs: also where the method did not learn from any, or from wrong ones.

  A folder without pairs has none to fit the regression on, so it is left out there.
  """
  none = config.data.name == 'folders' and not config.data.paired
  config = config.copy_and_resolve_references()
  config.data.update({'paired': not none, 'wrong_pairs': 0.0})
  train = data.eval_batches(data.get(config, 'train'), config, BATCH, limit=FIT_IMAGES)
  fitted = baselines.fit(turned(train, direction), config.data[f'channels_{direction[1]}'], seed=config.seed)
  return {who: predict for who, predict in fitted.items() if not (none and who == 'linear')}


def keep_pictures(folder: Path, source: Any, trained: Predictor, direction: str) -> None:
  """Saves input, output and target of a few images as NAME_input.png and so on, in place of an older step's."""
  folder.mkdir(exist_ok=True)
  for old in folder.glob('*.png'):
    old.unlink()
  of = trained.run.config.data
  for index in data.spread(len(source), PICTURES):
    pair = source[index]
    a, b = (images.fit(pair[side], of.crop_size, of.fit) for side in direction)
    output = trained.translate_one(a, direction, 'train', index)
    for kind, image in (('input', a), ('output', output), ('target', b)):
      if image.shape[-1] in (1, 3):
        images.write_png(folder / f'{pair["name"]}_{kind}.png', image)


def table(result: dict) -> str:
  """The scores as text, best by the first metric at the top."""
  first, *_ = names = metrics.ordered(next(iter(result['scores'].values())))
  sign = 1 if metrics.entry(first).lower_is_better else -1
  entries = [metrics.entry(name) for name in names]
  widths = [max(len(entry.head), 7) + 3 for entry in entries]
  lines = [
    f'{result["split"]} split, {" to ".join(result["direction"])}, {result["images"]} images, step {result["step"]}',
    f'{"":12}' + ''.join(f'{entry.head:>{width}}' for entry, width in zip(entries, widths, strict=True)),
  ]
  for who, s in sorted(result['scores'].items(), key=lambda item: sign * item[1][first]):
    cells = [entry.text(s[name]) for entry, name in zip(entries, names, strict=True)]
    lines.append(f'{who:12}' + ''.join(f'{cell:>{width}}' for cell, width in zip(cells, widths, strict=True)))
  return '\n'.join(lines)
