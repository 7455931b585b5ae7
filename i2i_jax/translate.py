"""Translates a user's images with a trained run: a file or a folder in, files of the same names out.

  i2i translate --workdir=runs/x --input=FOLDER --output=FOLDER

An output has the size of its input: the net sees the image at the size that it was trained at (--size=input, the
default; with config.data.fit=cover as large as covers it). With --size=train outputs stay at that size. With
--size=full the net sees every pixel: the image is padded by reflection to what the net can halve, and the padding is
cut off; each new size is compiled once.
A method that learnt both directions, like cyclegan, translates B to A with --direction=ba.

Outputs are PNG of 8 or 16 bits, as config.data.depth_b says, and TIFF where that is 32 or they are neither gray nor
RGB; an input .npy has an output .npy.

Where a net takes label images (config.data.onehot), the inputs are such; the instances of test_label/, if it needs
them, are read from test_inst/ beside it.

Files that cannot be read are passed over, a line each, and the exit code is then 3. Nothing is overwritten
without --overwrite.

Images that are unlike those that the net learnt from are named at the end, for what comes out of them means little.
OUTPUT/translate.json has all files, and how unlike each is: above 1 it is.
"""

import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from i2i_jax import cli
from i2i_jax.config import from_dict, read_json
from i2i_jax.data import images, labels
from i2i_jax.errors import BadInput
from i2i_jax.evaluation import chosen
from i2i_jax.inference.predictor import SIZES, load
from i2i_jax.runs import checkpoint, layout
from i2i_jax.runs.folder import write_json
from i2i_jax.runtime import memory

REPORT = 'translate.json'


def inputs(source: Path) -> list[Path]:
  if not source.exists():
    raise BadInput(f'--input: there is no {source}')
  files = images.list_images(source) if source.is_dir() else [source]
  if not files:
    raise BadInput(f'--input: {source} holds no image ({", ".join(sorted(images.FORMATS))})')
  return files


def outputs(files: list[Path], output: Path, ending: str, overwrite: bool) -> dict[Path, Path]:
  """Input file to output file. Two inputs of one name keep their endings: a.jpg.png and a.png.png."""
  if output.exists() and not output.is_dir():
    raise BadInput(f'--output: {output} is a file, not a folder')
  stems = Counter(f.stem for f in files)
  endings = {f: '.npy' if f.suffix.lower() == '.npy' else ending for f in files}
  targets = {f: output / f'{f.stem if stems[f.stem] == 1 else f.name}{endings[f]}' for f in files}
  if not overwrite and (there := [t for t in targets.values() if t.exists()]):
    raise BadInput(
      f'--output: {there[0]} is there already ({len(there)} such files); give --overwrite or another folder'
    )
  return targets


def translate(
  workdir: Path,
  source: Path,
  output: Path,
  *,
  direction: str = 'ab',
  size: str = 'input',
  step: int | None = None,
  overwrite: bool = False,
) -> int:
  """Returns the number of files that were passed over."""
  files = inputs(source)
  checkpoint.pick(workdir, step)  # raises where there is nothing to read
  of = from_dict(read_json(workdir / layout.CONFIG)).data
  kind_in, kind_out = (images.kind(of, side) for side in direction)
  described = labels.of(of)
  targets = outputs(files, output, kind_out.ending, overwrite)
  trained = load(workdir, step, ahead='' if size == 'full' else direction)
  checkpoint.check_direction(trained.run, direction)
  seen = f'{"covering " if of.fit == "cover" else "at "}{of.crop_size[1]}x{of.crop_size[0]}'
  print(
    {
      'input': f'the net sees images {seen}, as in training; outputs have the size of their inputs (--size=full: it '
      'sees every pixel)',
      'train': f'outputs have {of.crop_size[1]}x{of.crop_size[0]}, the size of training',
      'full': 'the net sees every pixel; each new size is compiled once',
    }[size]
  )
  output.mkdir(parents=True, exist_ok=True)
  skipped = clipped = 0
  done: list[dict] = []
  for index, (file, target) in enumerate(tqdm(targets.items(), unit='image', disable=None)):
    try:
      image = labels.read_input(file, described) if described else images.read(file, kind_in.channels, kind_in.depth)
      inside = images.within(image, kind_in, str(file))
    except BadInput as error:
      print(f'passed over: {error}', file=sys.stderr)
      skipped += 1
      continue
    clipped += inside is not image
    images.write(target, trained.translate_one(inside, direction, size, index))
    done.append({'input': str(file), 'output': str(target), 'unlike': trained.unlike(inside, direction)})
  if clipped:
    print(f'images with values outside of config.data.range_{direction[0]} = {kind_in.span}, clipped: {clipped}')
  write_json(
    output / REPORT, {'workdir': str(workdir), 'step': trained.run.step, 'direction': direction, 'files': done}
  )
  strange = sorted((-(file['unlike'] or 0), Path(file['input']).name) for file in done)
  if names := [name for score, name in strange if score < -1]:
    print(
      f'unlike the training images, so that what comes out of them means little: {len(names)} of {len(done)} '
      f'({", ".join(names[:4])}{", ..." if len(names) > 4 else ""}); see {output / REPORT}'
    )
  return skipped


def main() -> int:
  parser = cli.parser(__doc__, 'translate')
  cli.run_options(parser)
  parser.add_argument('--input', type=Path, required=True, help='an image or a folder of images')
  parser.add_argument('--output', type=Path, required=True, help='a folder, made if it is not there')
  parser.add_argument('--size', default='input', choices=SIZES, help='default: input')
  parser.add_argument('--overwrite', action='store_true', help='replace outputs that are there')
  args = cli.parse_run(parser)
  memory.keep_small()
  step, _ = chosen.step_of(args.workdir, args.step)
  skipped = translate(
    args.workdir,
    args.input,
    args.output,
    direction=args.direction,
    size=args.size,
    step=step,
    overwrite=args.overwrite,
  )
  print(f'translated into {args.output}' + (f'; {skipped} passed over' if skipped else ''))
  return 3 if skipped else 0


if __name__ == '__main__':
  cli.run(main)
