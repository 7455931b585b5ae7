"""Scores a run's checkpoint on a split, beside three baselines measured on the same images.

  python -m i2i_jax.evaluate --workdir=runs/x --split=test

Writes WORKDIR/eval_SPLIT.json and a folder WORKDIR/eval_SPLIT/ of pictures, and prints a table. A method that learns
both directions, like cyclegan, is scored from B to A with --direction=ba, into eval_SPLIT_ba.json. The protocol,
`pixel`: images resized to config.data.crop_size, no crop and no flip; outputs clipped to [-1, 1]; L1 in that
range (0 to 2), PSNR with its width as the peak, SSIM with an 11 px Gaussian window; the mean over images. The
baselines are fitted on the training split: copy the input, the mean colour, and linear regression on each
pixel's 5x5 neighbourhood.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from i2i_jax import baselines, checkpoint, cli, compiling, data, mesh, metrics
from i2i_jax.config import BadInput, from_dict, read_json
from i2i_jax.data import images
from i2i_jax.workdir import write_json
from i2i_jax.writer import read_log

BATCH = 16
PICTURES = 12  # images of the split, evenly spread, that are kept
FIT_IMAGES = 1024  # training images, evenly spread, that the baselines are fitted on
PROTOCOL = 'pixel'
METRIC = 'psnr'  # of the validation split, that chooses the best checkpoint


def predictor(
  translate: Callable, shardings: mesh.Shardings, seed: int, batch: int = BATCH, direction: str = 'ab'
) -> Callable:
  """Makes Method.translate a function (state, a: float32 [N, H, W, C], first) -> [N, H, W, C'] on the host.

  Batches are padded to one size, so that nothing compiles twice; `first` is the place of the first image in its
  split, which its dropout is drawn from.
  """
  put, everywhere = shardings.data, shardings.replicated
  translate = functools.partial(translate, direction=direction)
  run = compiling.jit(translate, in_shardings=(everywhere, put, everywhere), out_shardings=everywhere)
  size = -(-batch // shardings.devices) * shardings.devices

  def predict(state, a, first: int = 0):
    outputs = []
    for start in range(0, len(a), size):
      part = a[start : start + size]
      padded = np.concatenate([part, np.zeros((size - len(part), *part.shape[1:]), part.dtype)])
      rng = jax.random.fold_in(jax.random.key(seed), first + start)
      outputs.append(np.asarray(run(state, padded, rng))[: len(part)])
    return np.concatenate(outputs)

  return predict


def score(predictors: dict[str, Callable], batches) -> dict[str, dict[str, np.ndarray]]:
  """Scores of each `predict(a, first)` over batches {'a', 'b'}: who -> name -> an array, a number an image."""
  parts, first = {who: [] for who in predictors}, 0
  for batch in batches:
    for who, predict in predictors.items():
      fake_b = predict(batch['a'], first).astype(np.float32)
      parts[who].append(jax.device_get(metrics.score(fake_b, batch['b'].astype(np.float32))))
    first += len(batch['a'])
  return {who: jax.tree.map(lambda *x: np.concatenate(x), *scores) for who, scores in parts.items()}


def sample_columns(predict: dict[str, Callable], batch) -> dict:
  """What is drawn of a batch while training: for two directions the way there and back, else input and output."""
  a, b = batch['a'], batch['b']
  fake_b = predict['ab'](a)
  if 'ba' not in predict:
    return {'input': a, 'output': fake_b, 'target': b}
  fake_a = predict['ba'](b)
  there = {'A': a, 'to B': fake_b, 'to A again': predict['ba'](fake_b)}
  return there | {'B': b, 'to A': fake_a, 'to B again': predict['ab'](fake_a)}


def turned(batches, direction: str):
  """Batches as `direction` sees them: for 'ba', b is what comes in, and a the target."""
  for batch in batches:
    yield batch if direction == 'ab' else {**batch, 'a': batch['b'], 'b': batch['a']}


def check_choice(config, split: str):
  """Raises BadInput where the validation images are those of `split`: the best on them is no fair score there.

  So it is where one split stands in for the other, as in a folder without val/. Scores of validation itself are not
  refused.
  """
  if split != 'val' and data.get(config, 'val').fingerprint == data.get(config, split).fingerprint:
    raise BadInput(
      f'--step=best: the checkpoint would be chosen on the {split} images themselves, since there are no others for '
      f'validation; add a val/ folder, or leave --step out'
    )


def best_step(workdir: Path, metric: str = METRIC) -> int:
  """The step of the checkpoint that scored best on the validation split. Raises BadInput where none was scored."""
  kept = set(checkpoint.steps(workdir))
  log = read_log(workdir / 'metrics.jsonl')
  scored = {line['step']: line[f'val/{metric}'] for line in log if line['step'] in kept and f'val/{metric}' in line}
  if not scored:
    raise BadInput(f'{workdir}: no checkpoint has a val/{metric}: set config.checkpoint_every = config.eval_every')
  sign = -1 if metric in metrics.LOWER_IS_BETTER else 1
  return max(scored, key=lambda step: (sign * scored[step], -step))


def evaluate(
  workdir: Path,
  split: str = 'test',
  step: int | None = None,
  direction: str = 'ab',
  *,
  chosen: str = '',
  rivals: bool = True,
) -> dict:
  """Scores a checkpoint and writes eval_SPLIT.json and its pictures; an existing score is returned unchanged.

  Args:
    step: of the checkpoint; None: the newest. chosen: how it was chosen, for the record; empty: 'newest' or 'given'.
    rivals: whether the baselines are fitted and scored too.
  """
  chosen = chosen or ('newest' if step is None else 'given')
  name = f'eval_{split}' + ('' if direction == 'ab' else f'_{direction}')
  out = workdir / f'{name}.json'
  step = checkpoint.pick(workdir, step)
  old = json.loads(out.read_text()) if out.exists() else {}
  if old.get('step') == step and (len(old['scores']) > 1 or not rivals):
    print(f'{out} holds the scores of step {step} already')
    if old.get('chosen') != chosen:
      old['chosen'] = chosen
      write_json(out, old)
    return old

  shardings = mesh.make()
  run = checkpoint.load(workdir, shardings, step)
  checkpoint.check_direction(run, direction)
  source = data.get(run.config, split)
  if not source.paired:
    raise BadInput(f'--split {split}: its images have no partners to be scored against; translate them instead')
  predict = predictor(run.method.translate, shardings, run.config.seed, direction=direction)
  predictors = {run.config.method: lambda a, first: predict(run.state, a, first)}
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
    'scores': {who: {k: float(v.mean()) for k, v in s.items()} for who, s in scores.items()},
    'per_image': {who: {k: v.tolist() for k, v in s.items()} for who, s in scores.items()},
  }
  keep_pictures(workdir / name, source, run, predict, direction)
  write_json(out, result)
  return result


def fit_rivals(config, direction: str) -> dict[str, Callable]:
  """The baselines, fitted on pairs: also where the method did not learn from any, or from wrong ones."""
  config = config.copy_and_resolve_references()
  config.data.update({'paired': True, 'wrong_pairs': 0.0})
  train = data.eval_batches(data.get(config, 'train'), config, BATCH, limit=FIT_IMAGES)
  return baselines.fit(turned(train, direction), config.data[f'channels_{direction[1]}'], seed=config.seed)


def keep_pictures(folder: Path, source, run: checkpoint.Run, predict: Callable, direction: str):
  """Saves input, output and target of a few images as NAME_input.png and so on, in place of an older step's."""
  folder.mkdir(exist_ok=True)
  for old in folder.glob('*.png'):
    old.unlink()
  size = run.config.data.crop_size
  for index in data.spread(len(source), PICTURES):
    pair = source[index]
    a = images.resize(pair[direction[0]], size)
    output = images.to_uint8(predict(run.state, images.to_float(a)[None], index)[0])
    for kind, image in (('input', a), ('output', output), ('target', images.resize(pair[direction[1]], size))):
      if image.shape[-1] in (1, 3):
        images.write_png(folder / f'{pair["name"]}_{kind}.png', image)


def table(result: dict) -> str:
  """The scores as text, best PSNR first."""
  lines = [
    f'{result["split"]} split, {" to ".join(result["direction"])}, {result["images"]} images, step {result["step"]}',
    f'{"":12}{"L1":>8}{"PSNR":>10}{"SSIM":>8}',
  ]
  for who, s in sorted(result['scores'].items(), key=lambda item: -item[1]['psnr']):
    lines.append(f'{who:12}{s["l1"]:8.4f}{s["psnr"]:7.2f} dB{s["ssim"]:8.3f}')
  return '\n'.join(lines)


def main():
  parser = cli.parser(__doc__, 'evaluate')
  parser.add_argument('--workdir', type=Path, required=True, help='the folder of a run')
  parser.add_argument('--split', default='test', choices=data.SPLITS, help='default: test')
  parser.add_argument('--direction', default='ab', choices=('ab', 'ba'), help='default: ab')
  parser.add_argument('--step', metavar='STEP|best', help='the checkpoint; best: on validation; default: the newest')
  args = parser.parse_args()
  if args.step not in (None, 'best') and not args.step.isdigit():
    raise BadInput(f'--step {args.step}: give a step, or best')
  step, chosen = args.step and args.step != 'best' and int(args.step), ''
  if args.step == 'best':
    step, chosen = best_step(args.workdir), f'best val/{METRIC}'
    check_choice(from_dict(read_json(args.workdir / 'config.json')), args.split)
  print(table(evaluate(args.workdir, args.split, step, args.direction, chosen=chosen)))


if __name__ == '__main__':
  cli.run(main)
