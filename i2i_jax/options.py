"""The options of each command, and all about them that can be refused before JAX is imported, which takes seconds.

What needs the images, the nets or the devices is refused later, by `plan.py` and the commands; still before a byte is
written.
"""

import argparse
import ast
import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ml_collections import ConfigDict

from i2i_jax import data
from i2i_jax.config import from_dict, load
from i2i_jax.errors import BadInput, choice, nearest
from i2i_jax.inference import SIZES
from i2i_jax.registry import names
from i2i_jax.runs import folder, layout
from i2i_jax.sweeps.experiment import configs_of, read_experiment

PACKAGE = Path(__file__).parent
PROTOCOLS = names([str(PACKAGE / 'evaluation' / 'protocols')])
TORCH_FILES = ('.pth', '.pt', '.safetensors')
TORCH_NETS, TORCH_DISCS = ('unet_256', 'unet_128', 'resnet_9blocks', 'resnet_6blocks'), ('basic', 'pixel')


class Parser(argparse.ArgumentParser):
  """Says what is wrong in one line."""

  def error(self, message: str) -> NoReturn:
    raise BadInput(f'{message}; {self.prog} --help shows all options')

  def all_args(self, fields: bool = False) -> tuple[Namespace, list[str]]:
    """What was given; with `fields`, what may set fields of a config besides. Raises BadInput for other options."""
    args, rest = self.parse_known_args()
    known = sorted(set(re.findall(r'--\w+', self.format_usage())))
    for name in (text.partition('=')[0] for text in rest):
      if not fields and not name.startswith('-'):
        raise BadInput(f'{name!r} belongs to no option: {", ".join(known)}')
      if name.startswith('-') and not (fields and name.startswith('--config.')):
        raise BadInput(f'there is no option {name}: {nearest(name, known)}')
    return args, rest


def doc(name: str) -> str:
  """The docstring of a module of this package, which is not imported."""
  return ast.get_docstring(ast.parse((PACKAGE / f'{name}.py').read_text(encoding='utf-8')), clean=False) or ''


def parser(name: str, text: str = '') -> Parser:
  """A parser whose --help shows the command's docstring as it stands."""
  style = argparse.RawDescriptionHelpFormatter
  return Parser(prog=f'i2i {name}', description=text or doc(name), formatter_class=style, allow_abbrev=False)


# ------------------------------------------------------------------------------------ commands that take a config


def train() -> Namespace:
  of = parser('train')
  of.add_argument('--config', required=True, metavar='NAME[:ARGUMENT]', help='what to train')
  of.add_argument('--config.FIELD', metavar='VALUE', help='sets a field of the config', dest='_')
  of.add_argument('--workdir', type=Path, help="the run's folder, made if it is not there")
  of.add_argument('--mesh', default='', metavar='data=N', help='the number of devices; default: all')
  of.add_argument('--init_from', type=Path, metavar='WORKDIR', help="start from another run's weights")
  of.add_argument('--stop_at', type=int, metavar='STEP', help='end this session there; a later one resumes')
  of.add_argument('--profile', action='store_true', help='record a few steps in WORKDIR/profile')
  of.add_argument('--describe', action='store_true', help="print the nets' layers and parameters, and end")
  args, fields = of.all_args(fields=True)
  args.config = load([f'--config={args.config}', *fields])
  if args.describe:
    return args
  if not args.workdir:
    raise BadInput("--workdir is missing: name the run's folder, like --workdir=runs/x")
  if args.stop_at is not None and args.stop_at < 1:
    raise BadInput(f'--stop_at={args.stop_at} must be at least 1')
  if args.mesh and not re.fullmatch(r'data=[1-9]\d*', args.mesh):
    raise BadInput(f'--mesh {args.mesh}: give data=N, N being the number of devices')
  if args.init_from:
    run_config(args.init_from, '--init_from')
  check_path(args.config)
  folder.check(args.workdir, args.config)
  check_method(args.config)
  return args


def check() -> Namespace:
  of = parser('check')
  of.add_argument('--config', required=True, metavar='NAME[:ARGUMENT]', help='as for training')
  of.add_argument('--config.FIELD', metavar='VALUE', help='sets a field of the config', dest='_')
  of.add_argument('--output', type=Path, default=Path('check'), help='a folder for the page; default: check')
  args, fields = of.all_args(fields=True)
  args.config = load([f'--config={args.config}', *fields])
  check_path(args.config)
  return args


def sweep() -> Namespace:
  of = parser('sweep')
  of.add_argument('--experiment', type=Path, required=True, metavar='FILE.py', help='what to run')
  of.add_argument('--workdir', type=Path, required=True, help="the sweep's folder, made if it is not there")
  of.add_argument('--seeds', type=int, default=3, help='runs of each variant; default: 3')
  of.add_argument('--jobs', type=int, default=1, help='runs at a time, each on a core of its own; default: 1')
  of.add_argument('--config.FIELD', metavar='VALUE', help='sets a field of the config in all runs', dest='_')
  args, fields = of.parse_known_args()
  args.fields = fields
  if args.seeds < 1 or args.jobs < 1:
    raise BadInput('--seeds and --jobs must be at least 1')
  args.read = read_experiment(args.experiment)
  choice(f'{args.experiment}: PROTOCOL', args.read.protocol, PROTOCOLS)
  for config in configs_of(args.read, args.fields).values():
    check_path(config)
  return args


def check_path(config: ConfigDict) -> None:
  """Raises BadInput where the images' file or folder is not there; what must be in it, the source knows."""
  of = config.data
  if of.name in ('folders', 'tarball', 'labels', 'night') and of.path and not Path(of.path).expanduser().exists():
    kind = 'folder' if of.name in ('folders', 'labels') else 'file'
    raise BadInput(f'config.data.path: there is no {kind} {Path(of.path).expanduser()}')


def check_method(config: ConfigDict) -> None:
  """Raises BadInput where the method or its nets refuse the config. JAX takes one second; what trains, one more."""
  from i2i_jax import methods

  methods.get(config)


# --------------------------------------------------------------------------------------- commands that take a run


def evaluate() -> Namespace:
  listed = '\n'.join(f'  {name:10} {doc(f"evaluation/protocols/{name}").splitlines()[0]}' for name in PROTOCOLS)
  of = run_parser('evaluate', f'{doc("evaluate")}\nProtocols:\n{listed}')
  of.add_argument('--split', default='test', choices=data.SPLITS, help='default: test')
  of.add_argument('--protocol', default='pixel', help='one of those above; default: pixel')
  of.add_argument(
    '--weights', action='append', default=[], type=Path, metavar='FILE', help='.pth of a net that the protocol needs'
  )
  of.add_argument('--apart', action='store_true', help='last weights, and best on validation, in rows of their own')
  of.add_argument('--again', action='store_true', help='score once more what is scored already')
  args, _ = of.all_args()
  choice('--protocol', args.protocol, PROTOCOLS)
  for file in args.weights:
    is_file('--weights', file)
  return of_run(args)


def translate() -> Namespace:
  of = run_parser('translate')
  of.add_argument('--input', type=Path, required=True, help='an image or a folder of images')
  of.add_argument('--output', type=Path, required=True, help='a folder, made if it is not there')
  of.add_argument('--size', default='input', choices=SIZES, help='default: input')
  of.add_argument('--overwrite', action='store_true', help='replace outputs that are there')
  args, _ = of.all_args()
  if not args.input.exists():
    raise BadInput(f'--input: there is no {args.input}')
  if args.output.exists() and not args.output.is_dir():
    raise BadInput(f'--output: {args.output} is a file, not a folder')
  return of_run(args)


def report() -> Namespace:
  args, _ = run_parser('report', direction=False, step=False).all_args()
  run_config(args.workdir)
  return args


def attention_maps() -> Namespace:
  of = run_parser('attention_maps')
  of.add_argument('--split', default='test', choices=data.SPLITS, help='default: test')
  of.add_argument('--count', type=int, default=6, help='images drawn; default: 6')
  args, _ = of.all_args()
  if args.count < 1:
    raise BadInput(f'--count={args.count} must be at least 1')
  return of_run(args)


def export_torch() -> Namespace:
  of = run_parser('export_torch')
  of.add_argument('--output', type=Path, required=True, help='a new file: .pth, .pt or .safetensors')
  of.add_argument('--net', default='gen', choices=('gen', 'disc'), help='default: gen')
  args, _ = of.all_args()
  if args.output.suffix not in TORCH_FILES:
    raise BadInput(f'--output: {args.output} must end in {", ".join(TORCH_FILES)}')
  if args.output.exists():
    raise BadInput(f'--output: {args.output} is there already; name another')
  return of_run(args)


def import_torch() -> Namespace:
  of = parser('import_torch')
  of.add_argument('--weights', type=Path, required=True, help='the generator: .pth, .pt or .safetensors')
  of.add_argument('--net', required=True, choices=TORCH_NETS, help='what --netG was there')
  of.add_argument('--output', type=Path, required=True, help="the run's folder, which must not be there yet")
  of.add_argument('--disc_weights', type=Path, help='its pix2pix discriminator, to train on with')
  of.add_argument('--disc_net', default='basic', choices=TORCH_DISCS, help='what --netD was; default: basic')
  of.add_argument('--no_dropout', action='store_true', help='the generator was trained without dropout')
  args, _ = of.all_args()
  is_file('--weights', args.weights)
  if args.disc_weights:
    is_file('--disc_weights', args.disc_weights)
  if args.output.exists():
    raise BadInput(f'--output: {args.output} is there already; name another')
  return args


def run_parser(name: str, text: str = '', *, direction: bool = True, step: bool = True) -> Parser:
  """With --workdir, --direction and --step: the same in each command that takes a run."""
  of = parser(name, text)
  of.add_argument('--workdir', type=Path, required=True, help='the folder of a run')
  if direction:
    of.add_argument('--direction', default='ab', choices=('ab', 'ba'), help='default: ab')
  if step:
    how = 'the checkpoint; best or best:METRIC: on the validation split; default: the newest'
    of.add_argument('--step', metavar='STEP|best', help=how)
  return of


def of_run(args: Namespace) -> Namespace:
  """What was given, of a parser with a run's options, and the `precision` that the run computes in."""
  args.precision = run_config(args.workdir).precision
  kept = [p.name for p in (args.workdir / layout.CHECKPOINTS).glob('[0-9]*') if p.name.isdigit()]
  if args.step and args.step.isdigit() and kept and args.step not in kept:
    raise BadInput(f'--step {args.step}: {args.workdir} holds the steps {", ".join(sorted(kept, key=int))}')
  if args.step and not args.step.isdigit() and args.step.partition(':')[0] != 'best':
    raise BadInput(f'--step {args.step}: give a step, best, or best:METRIC')
  return args


def run_config(workdir: Path, option: str = '--workdir') -> ConfigDict:
  """Raises BadInput where there is no run, or its config is damaged."""
  if not workdir.is_dir():
    raise BadInput(f'{option}: there is no folder {workdir}')
  return from_dict(folder.read_config(workdir), str(workdir / layout.CONFIG))


def is_file(option: str, file: Path) -> None:
  if not file.is_file():
    raise BadInput(f'{option}: there is no file {file}')


COMMANDS: dict[str, Callable[[], Namespace]] = {
  of.__name__: of
  for of in (check, train, evaluate, translate, report, attention_maps, sweep, import_torch, export_torch)
}
