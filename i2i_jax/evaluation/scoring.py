"""Scores a run's checkpoint on a split by a protocol, beside the baselines (see `i2i evaluate --help`)."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from i2i_jax import data
from i2i_jax.config import from_dict
from i2i_jax.data import images, labels
from i2i_jax.errors import BadInput
from i2i_jax.evaluation import baselines, features, metrics, protocols
from i2i_jax.evaluation.measure import Measure, make
from i2i_jax.evaluation.protocols import Protocol
from i2i_jax.inference import unlike
from i2i_jax.inference.predictor import BATCH, Predictor, load
from i2i_jax.runs import checkpoint, folder, layout, outputs
from i2i_jax.runs.folder import write_json
from i2i_jax.runs.stored import KEPT, SCORES, read_or
from i2i_jax.runtime import mesh, stopping

LOOKED_AT = 200  # images of the split, evenly spread, that are compared with the training inputs
PICTURES = 12  # images of the split, evenly spread, that are kept
FIT_IMAGES = 1024  # training images, evenly spread, that the baselines are fitted on
FEW = 2000  # images, below which FID is biased
SAMPLING = {
  'config': {},
  'train': {'dropout': True, 'batch_stats': 'batch'},
  'eval': {'dropout': False, 'batch_stats': 'running'},
}


def score(
  predictors: dict[str, Callable], batches: Iterable[dict], measure: Measure | None = None, paired: bool = True
) -> dict[str, metrics.Scores]:
  """Scores of each `predict(a, first)` over batches {'a', 'b'}; a side that is used up is empty there.

  By all metrics that need no weights, unless `measure` has others. Without partners, `paired` off, sets are compared
  alone.
  """
  measure = measure or make(metrics.without_weights())
  parts: dict[str, list] = {who: [] for who in predictors}
  seen: dict[str, list] = {who: [] for who in (*predictors, '')}  # features, of the targets under ''
  first = 0
  for batch in batches:
    if len(batch['b']):
      seen[''].append(measure.features(batch['b']))
    for who, predict in predictors.items() if len(batch['a']) else ():
      fake_b = predict(batch['a'], first)
      seen[who].append(measure.features(fake_b))
      if paired:
        parts[who].append(measure.pairs(fake_b, batch['b']))
    first += len(batch['a'])
  real = joined(seen[''])
  sets = {who: measure.sets(joined(seen[who]), real) for who in predictors}
  return {who: metrics.Scores(joined(parts[who]), *sets[who]) for who in predictors}


def joined(parts: list[dict]) -> dict[str, np.ndarray]:
  return jax.tree.map(lambda *x: np.concatenate(x), *parts) if parts else {}


def turned(batches: Iterable[dict], direction: str) -> Iterator[dict]:
  """Batches as `direction` sees them: for 'ba', b is what comes in, and a the target."""
  for batch in batches:
    yield batch if direction == 'ab' else {**batch, 'a': batch['b'], 'b': batch['a']}


def names_of(protocol: Protocol, config: ConfigDict, paired: bool) -> tuple[str, ...]:
  """The metrics that a protocol has for a data set: of pairs only where images have partners."""
  names = protocol.metrics or metrics.without_weights(bool(config.data.labels) and not config.data.onehot)
  return tuple(name for name in names if paired or metrics.entry(name).whole_set)


def nets_of(
  names: Iterable[str], config: ConfigDict, given: Iterable[Path] = (), targets: Iterable[str] = 'b'
) -> dict[str, features.Weights]:
  """The weights of what the metrics compare, from files or packages; of label images, their colours.

  Raises:
    BadInput: as `features.load`; the images of `targets`, sides like 'b', have channels that a metric does not see.
  """
  found = [(name, of) for name in names if (of := metrics.entry(name).of)]
  colours = np.asarray(config.data.labels, np.float32)
  for side in targets:
    channels = config.data[f'channels_{side}']
    for name, of in found:
      if channels not in (1, 3) and hasattr(features.module(of), 'MARK'):
        raise BadInput(
          f'{metrics.entry(name).label} sees gray and RGB, and config.data.channels_{side} = {channels}; take '
          'protocol pixel'
        )
    if colours.shape[-1:] != (channels,) and any(of.startswith('labels.') for _, of in found):
      raise BadInput(f'config.data.labels: a colour is a number for each of the {channels} channels of {side}')
  nets = features.load([of for _, of in found], given)
  if len(colours):
    nets['labels'] = features.Weights(colours, {})
  return nets


def evaluate(
  workdir: Path,
  split: str = 'test',
  step: int | None = None,
  direction: str = 'ab',
  *,
  protocol: str = 'pixel',
  weights: tuple[Path, ...] = (),
  chosen: str = 'newest',
  others: dict[str, tuple[int, str]] | None = None,
  rivals: bool = True,
  again: bool = False,
) -> dict:
  """Scores a checkpoint and writes eval_SPLIT.json and its pictures; existing scores are returned unchanged.

  Args:
    step: of the checkpoint; None: the newest. chosen: how it was chosen, for the record (`chosen.step_of`).
    protocol: of evaluation/protocols/. weights: files of the nets that it needs (`features.load`).
    others: more of the same run, a row each: name -> (step, 'ema' or 'last').
    rivals: whether the baselines are fitted and scored too. again: whether existing scores are made again; those
      that lack a metric, or were made with other weights, always are.
  """
  rules = protocols.get(protocol)
  check_pictures(workdir / layout.scores(split, direction))
  name = layout.scores(split, direction, protocol)
  out = workdir / f'{name}.json'
  step, given = checkpoint.pick(workdir, step), step
  config = from_dict(folder.read_config(workdir))
  source = data.get(config, split)
  names = names_of(rules, config, source.paired)
  if not names:
    raise BadInput(f'--split {split}: its images have no partners, and protocol {protocol} compares no sets')
  counts = counts_of(source, direction)
  check_rules(protocol, config, counts)
  rows = {config.method, *(others or {}), *(['copy'] if rivals else [])}
  if not again and (old := stored(out, step, chosen, names, rows, weights)):
    return old

  nets = nets_of(names, config, weights, direction[1])
  measure = make(names, nets, rules.filter, mesh.make(''))
  sampling = SAMPLING[rules.sampling]
  trained = load(workdir, given, mesh_spec='', batch=BATCH, ahead=direction, test=sampling)
  checkpoint.check_direction(trained.run, direction)
  config = trained.run.config
  predictors = {config.method: predictor(trained, direction)}
  for who, (at, which) in (others or {}).items():
    other = load(workdir, at, mesh_spec='', batch=BATCH, ahead='', test=sampling, weights=which)
    predictors[who] = predictor(other, direction)
  if rivals:
    predictors |= fit_rivals(config, direction)
  scores = score(predictors, turned(batches_of(source, config), direction), measure, source.paired)
  result = {
    'protocol': protocol,
    'filter': rules.filter,
    'split': split,
    'direction': direction,
    'step': trained.run.step,
    'chosen': chosen,  # newest, given, or best val/METRIC
    'weights': 'ema' if config.ema else 'final',
    'seed': config.seed,
    'images': counts[0],
    'targets': counts[1],
    'nets': {net: of.files for net, of in nets.items() if of.files},
    'unlike': unlike_of(source, trained, direction),
    'scores': {who: s.means() for who, s in scores.items()},
    'deviations': {who: s.deviations for who, s in scores.items() if s.deviations},
    'per_image': {who: {k: v.tolist() for k, v in s.per_image.items()} for who, s in scores.items()},
  }
  pictures = pictures_of(source, trained, direction)
  with stopping.hold():  # scores and pictures are of one step
    keep_pictures(workdir / layout.scores(split, direction), pictures)
    write_json(out, result)
  return result


def stored(
  out: Path, step: int, chosen: str, names: Iterable[str], rows: Iterable[str], weights: Iterable[Path]
) -> dict | None:
  """The scores in a file, where they are of that step and of these files of weights, and lack nothing."""
  old = read_or(None, out, SCORES, 'it is scored again')
  if not old or old['step'] != step or set(rows) - (old['scores'].keys() & old['per_image'].keys()):
    return None
  if any(lacking(names, of) for of in old['scores'].values()):
    return None
  scored_by = {checksum for files in old.get('nets', {}).values() for checksum in files.values()}
  if not all(file.is_file() and features.checksum(file) in scored_by for file in weights):
    return None
  print(f'{out} holds the scores of step {step} already')
  if old.get('chosen') != chosen:
    old['chosen'] = chosen
    write_json(out, old)
  return old


def check_rules(protocol: str, config: ConfigDict, counts: tuple[int, int]) -> None:
  """Says where the images are not those of the numbers that a protocol stands for."""
  rules, of = protocols.get(protocol), config.data
  if rules.size and tuple(of.crop_size) != (rules.size, rules.size):
    print(f'protocol {protocol}: its images are of {rules.size} px, these of {" x ".join(map(str, of.crop_size))}')
  if of.name == 'cycle_gan' and (known := rules.counts.get(of.task)) not in (None, counts, counts[::-1]):
    print(
      f'protocol {protocol}: {of.task} has {known[0]} and {known[1]} images there, here {counts[0]} and {counts[1]}'
    )


def predictor(trained: Predictor, direction: str) -> Callable:
  return lambda a, first: trained.predict(a, direction, first)


def lacking(names: Iterable[str], scores: Iterable[str]) -> list[str]:
  """The metrics that are not among `scores`: they were added since."""
  return sorted({name for name in names if metrics.entry(name).function} - set(scores))


def counts_of(source: Any, direction: str) -> tuple[int, int]:
  """Inputs and targets."""
  if not isinstance(source, data.Unpaired):
    return len(source), len(source)
  return len(source.items[direction[0]]), len(source.items[direction[1]])


def batches_of(source: Any, config: ConfigDict) -> Iterator[dict]:
  """Batches {'a', 'b'} of a split; of sets without partners each image once, the shorter side then empty."""
  if not isinstance(source, data.Unpaired):
    yield from data.eval_batches(source, config, BATCH)
    return
  first = 0
  for batch in data.eval_batches(source, config, BATCH):
    yield {side: batch[side][: max(0, len(source.items[side]) - first)] for side in 'ab'}
    first += len(batch['name'])


def fit_rivals(config: ConfigDict, direction: str) -> dict[str, Callable]:
  """The baselines, fitted on pairs: also where the method did not learn from any, or from wrong ones.

  A folder without pairs has none to fit the regression on, so it is left out there. Of label images they see the
  colours.
  """
  none = config.data.name in ('folders', 'cycle_gan', 'hub') and not config.data.paired
  config = config.copy_and_resolve_references()
  config.data.update({'paired': not none, 'wrong_pairs': 0.0})
  train = data.eval_batches(data.get(config, 'train'), config, BATCH, limit=FIT_IMAGES)
  see = labels.drawer(config.data)
  train = ({**batch, 'a': see(batch['a'])} for batch in train)
  fitted = baselines.fit(turned(train, direction), config.data[f'channels_{direction[1]}'], seed=config.seed)
  kept = {who: predict for who, predict in fitted.items() if not (none and who == 'linear')}
  return {who: lambda a, first=0, predict=predict: predict(see(a), first) for who, predict in kept.items()}


def unlike_of(source: Any, trained: Predictor, direction: str) -> dict[str, float]:
  """How unlike the training inputs each of up to 200 inputs is, by name: above 1 it is. Empty: it cannot be told."""
  known, found = trained.known(direction), dict[str, float]()
  if known:
    for batch in data.eval_batches(source, trained.run.config, BATCH, limit=LOOKED_AT):
      scores = unlike.scores(known, batch[direction[0]])
      found |= {name: round(float(score), 3) for name, score in zip(batch['name'], scores, strict=True)}
  return found


def check_pictures(folder: Path) -> None:
  """Raises BadInput where the folder of pictures is not the run's own: what lies behind a link is another's."""
  if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
    kind = 'a link' if folder.is_symlink() else 'no folder'
    raise BadInput(f"{folder} is {kind}, and pictures are written into a folder of the run's own; take it away")


def pictures_of(source: Any, trained: Predictor, direction: str) -> dict[str, np.ndarray]:
  """Input, output and target of a few images, as NAME_input.png and so on."""
  indices, see = data.spread(len(source), PICTURES), labels.drawer(trained.run.config.data)
  batches = data.eval_batches(source, trained.run.config, 1, limit=PICTURES)
  made: dict[str, np.ndarray] = {}
  for index, batch in zip(indices, batches, strict=True):
    a, b = (batch[side] for side in direction)
    output = trained.predict(a, direction, index)
    name = batch['name'][0]
    if outputs.short(name, '_output.png') in made:  # of two images with one name
      name = f'{name}-{index}'
    for kind, image in {'input': see(a), 'output': output, **({'target': b} if source.paired else {})}.items():
      made[outputs.short(name, f'_{kind}.png')] = images.drawn(image[0])
  return made


def keep_pictures(folder: Path, pictures: dict[str, np.ndarray]) -> None:
  """Writes pictures in place of an older step's.

  Those are deleted by the names that are noted beside them, so that no other files are.
  """
  folder.mkdir(exist_ok=True)
  note = folder / layout.PICTURES
  old = read_or({'files': []}, note, KEPT, 'older pictures beside it stay')['files']
  write_json(note, {'files': sorted({*old, *pictures})})
  for name, picture in pictures.items():
    images.write_png(folder / name, picture)
  for name in set(old) - pictures.keys():
    if name == Path(name).name and name.endswith('.png') and (folder / name).is_file():
      (folder / name).unlink()
  write_json(note, {'files': sorted(pictures)})


def table(result: dict) -> str:
  """The scores as text, best by the first metric at the top, and what they are comparable with."""
  first, *_ = names = metrics.ordered(next(iter(result['scores'].values())))
  entries = [metrics.entry(name) for name in names]
  cells = {
    who: [
      entry.text(s[name])
      + (f' ± {entry.text(d)}' if (d := result.get('deviations', {}).get(who, {}).get(name)) is not None else '')
      for entry, name in zip(entries, names, strict=True)
    ]
    for who, s in sorted(result['scores'].items(), key=lambda item: entries[0].badness(item[1][first]))
  }
  rows = [[entry.head for entry in entries], *cells.values()]
  widths = [max(7, *map(len, column)) + 3 for column in zip(*rows, strict=True)]
  lines = [
    f'{result["split"]} split, {" to ".join(result["direction"])}, {result["images"]} images'
    + (f' against {n}' if (n := result.get('targets', result['images'])) != result['images'] else '')
    + f', step {result["step"]} ({result["chosen"]}), protocol {result["protocol"]}'
  ]
  left = max(12, *(len(who) + 2 for who in cells))
  for who, row in {'': rows[0], **cells}.items():
    lines.append(f'{who:{left}}' + ''.join(f'{cell:>{width}}' for cell, width in zip(row, widths, strict=True)))
  lines += [
    f'{net}: {file}, sha256 {sha}' for net, files in result.get('nets', {}).items() for file, sha in files.items()
  ]
  if 'fid' in names and (fewest := min(result['images'], result['targets'])) < FEW:
    lines.append(f'FID of {fewest} images is biased: it falls with more of the same; below {FEW:,} trust the KID')
  return '\n'.join(lines)
