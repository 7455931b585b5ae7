"""Translates a user's images with a trained run: a file or a folder in, PNG files of the same names out.

  python -m i2i_jax.translate --workdir=runs/x --input=FOLDER --output=FOLDER

With --size=train, the default, images are resized to what the net was trained at, and outputs have that size.
With --size=own each keeps its own size: it is padded by reflection to what the net can halve, and cut back.
A method that learnt both directions, like cyclegan, translates B to A with --direction=ba.

Files that cannot be read are passed over, a line each, and the exit code is then 3. Nothing is overwritten
without --overwrite.
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from i2i_jax import checkpoint, cli, mesh
from i2i_jax.config import BadInput
from i2i_jax.data import images
from i2i_jax.evaluate import predictor


def plan(source: Path, output: Path, overwrite: bool) -> dict[Path, Path]:
  """Input file to output file. Two inputs of one name keep their endings: a.jpg.png and a.png.png."""
  if not source.exists():
    raise BadInput(f'--input: there is no {source}')
  files = images.list_images(source) if source.is_dir() else [source]
  if not files:
    raise BadInput(f'--input: {source} holds no image ({", ".join(sorted(images.FORMATS))})')
  if output.exists() and not output.is_dir():
    raise BadInput(f'--output: {output} is a file, not a folder')
  stems = Counter(f.stem for f in files)
  targets = {f: output / f'{f.stem if stems[f.stem] == 1 else f.name}.png' for f in files}
  if not overwrite and (there := [t for t in targets.values() if t.exists()]):
    raise BadInput(
      f'--output: {there[0]} is there already ({len(there)} such files); give --overwrite or another folder'
    )
  return targets


def padded(image: np.ndarray, multiple: int) -> np.ndarray:
  """Pads [H, W, C] at the bottom and right to multiples, by reflection as far as the image reaches."""
  height, width = (-n % multiple for n in image.shape[:2])
  while height or width:  # a reflection can add at most the size itself, less one
    step = (min(height, max(image.shape[0] - 1, 0)), min(width, max(image.shape[1] - 1, 0)))
    mode = 'reflect' if any(step) else 'edge'
    step = step if any(step) else (height, width)
    image = np.pad(image, ((0, step[0]), (0, step[1]), (0, 0)), mode)
    height, width = height - step[0], width - step[1]
  return image


def translate(
  workdir: Path, source: Path, output: Path, *, direction='ab', size='train', step=None, overwrite=False
) -> int:
  """Returns the number of files that were passed over."""
  targets = plan(source, output, overwrite)
  shardings = mesh.make('data=1')
  run = checkpoint.load(workdir, shardings, step)
  checkpoint.check_direction(run, direction)
  predict = predictor(run.method.translate, shardings, run.config.seed, batch=1, direction=direction)
  multiple = next(iter(run.method.nets.values()))[0].multiple
  output.mkdir(parents=True, exist_ok=True)
  skipped = 0
  for index, (file, target) in enumerate(tqdm(targets.items(), unit='image', disable=None)):
    try:
      image = images.read(file, run.config.data[f'channels_{direction[0]}'])
    except BadInput as error:
      print(f'passed over: {error}', file=sys.stderr)
      skipped += 1
      continue
    train_size = run.config.data.crop_size
    fitted = images.resize(image, train_size) if size == 'train' else padded(image, multiple)
    fake_b = predict(run.state, images.to_float(fitted)[None], index)[0]
    height, width = fitted.shape[:2] if size == 'train' else image.shape[:2]
    images.write_png(target, images.to_uint8(fake_b[:height, :width]))
  return skipped


def main() -> int:
  parser = cli.parser(__doc__, 'translate')
  parser.add_argument('--workdir', type=Path, required=True, help='the folder of a run')
  parser.add_argument('--input', type=Path, required=True, help='an image or a folder of images')
  parser.add_argument('--output', type=Path, required=True, help='a folder, made if it is not there')
  parser.add_argument('--direction', default='ab', choices=('ab', 'ba'), help='default: ab')
  parser.add_argument('--size', default='train', choices=('train', 'own'), help='default: train')
  parser.add_argument('--step', type=int, help='the checkpoint; default: the newest')
  parser.add_argument('--overwrite', action='store_true', help='replace outputs that are there')
  args = parser.parse_args()
  skipped = translate(
    args.workdir,
    args.input,
    args.output,
    direction=args.direction,
    size=args.size,
    step=args.step,
    overwrite=args.overwrite,
  )
  print(f'translated into {args.output}' + (f'; {skipped} passed over' if skipped else ''))
  return 3 if skipped else 0


if __name__ == '__main__':
  cli.run(main)
