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
without --overwrite, and inputs never are. Images of more than 64 million pixels are not decoded; the environment's
I2I_MAX_MEGAPIXELS is another number of millions, up to 178.

Images that are unlike those that the net learnt from are named at the end, for what comes out of them means little.
OUTPUT/translate.json has all files, and how unlike each is: above 1 it is.
"""

import os
import sys
from argparse import Namespace
from pathlib import Path

from tqdm import tqdm

from i2i_jax import cli, options
from i2i_jax.config import from_dict
from i2i_jax.data import images, labels
from i2i_jax.errors import BadInput, one_line
from i2i_jax.evaluation import chosen
from i2i_jax.inference.predictor import load
from i2i_jax.runs import checkpoint, folder, outputs
from i2i_jax.runs.folder import write_json
from i2i_jax.runtime import memory, precision

REPORT = 'translate.json'


def inputs(source: Path) -> list[Path]:
  if not source.exists():
    raise BadInput(f'--input: there is no {source}')
  files = images.list_images(source) if source.is_dir() else [source]
  if not files:
    raise BadInput(f'--input: {source} holds no image ({", ".join(sorted(images.FORMATS))})')
  return files


def targets_of(files: list[Path], output: Path, ending: str, overwrite: bool) -> dict[Path, Path]:
  """Input file to output file; raises BadInput where that would replace an input, or anything without --overwrite."""
  if output.exists() and not output.is_dir():
    raise BadInput(f'--output: {output} is a file, not a folder')
  endings = ['.npy' if file.suffix.lower() == '.npy' else ending for file in files]
  outputs.apart(output, files)
  targets = {f: output / name for f, name in zip(files, outputs.names(files, endings), strict=True)}
  there = [path for path in (*targets.values(), output / REPORT) if os.path.lexists(path)]
  if there and not overwrite:
    raise BadInput(
      f'--output: {there[0]} is there already ({len(there)} such files); give --overwrite or another folder'
    )
  if folders := [path for path in there if path.is_dir()]:
    raise BadInput(f'--output: {folders[0]} is a folder, and a file of this name is to be written')
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
  of = from_dict(folder.read_config(workdir)).data
  kind_in, kind_out = (images.kind(of, side) for side in direction)
  described = labels.of(of)
  targets = targets_of(files, output, kind_out.ending, overwrite)
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
  outputs.folder(output, '--output')
  skipped = clipped = 0
  done: list[dict] = []
  for index, (file, target) in enumerate(tqdm(targets.items(), unit='image', disable=None)):
    try:
      image = labels.read_input(file, described) if described else images.read(file, kind_in.channels, kind_in.depth)
      inside = images.within(image, kind_in, str(file))
      if len(os.fsencode(target.name)) > outputs.LONGEST:
        raise BadInput(f'{file}: its name is too long for that of an output, {target.name}; rename it')
    except BadInput as error:
      tqdm.write(f'passed over: {one_line(error)}', file=sys.stderr)
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


def main(args: Namespace | None = None) -> int:
  args = args or options.translate()
  precision.enable(args.precision)
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
