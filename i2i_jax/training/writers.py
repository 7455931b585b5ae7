"""Where a run's scalars and pictures go: a writer for each place. `config.writers` names those besides `files`.

Each is made by a function of the run's folder, its config, and the step at which it begins or is resumed.
"""

import importlib.util
import json
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from i2i_jax.config import to_dict
from i2i_jax.data import images
from i2i_jax.errors import BadInput, RunFault, choice
from i2i_jax.runs import folder, layout
from i2i_jax.runs.log import truncate
from i2i_jax.runtime import stopping
from i2i_jax.runtime.files import named


class Writer(NamedTuple):
  """Functions that the hooks `log` and `validate` call, in the order of steps."""

  scalars: Callable = lambda step, values: None  # {'loss/l1': float, ...}
  picture: Callable = lambda step, name, image: None  # uint8 [H, W, 3]
  close: Callable = lambda: None


def together(writers: Sequence[Writer]) -> Writer:
  """One writer, which passes on to each of `writers` what it is given."""

  def each(name):
    return lambda *given: [getattr(writer, name)(*given) for writer in writers]

  return Writer(*map(each, Writer._fields))


def files(workdir: Path, config: ConfigDict, start: int) -> Writer:
  """metrics.jsonl, a line {'step': ..., 'loss/l1': ...} each, and samples/step_00000100.png: what pages read."""
  log = workdir / layout.LOG
  truncate(log, start or -1)  # a run that begins again scores step 0 again

  def scalars(step, values):
    line = json.dumps({'step': step, **values}) + '\n'
    with stopping.hold(), named(log, len(line)), open(log, 'a') as file:
      file.write(line)

  def picture(step, name, image):
    into = workdir / name
    into.mkdir(exist_ok=True)
    images.write_png(into / layout.sample(step), image)

  return Writer(scalars, picture)


def tensorboard(workdir: Path, config: ConfigDict, start: int) -> Writer:
  # tensorboardX imports PyTorch wherever it is installed: a second and 180 MB, of which nothing here has a use.
  hidden = sys.modules.setdefault('torch', None) is None  # type: ignore[arg-type]
  import tensorboardX

  if hidden:
    del sys.modules['torch']
  board = tensorboardX.SummaryWriter(str(workdir / layout.TENSORBOARD), purge_step=start + 1 if start else 0)

  def scalars(step, values):
    for name, value in values.items():
      board.add_scalar(name, value, step)

  return Writer(scalars, lambda step, name, image: board.add_image(name, image, step, dataformats='HWC'), board.close)


def wandb(workdir: Path, config: ConfigDict, start: int) -> Writer:
  """Weights & Biases: the run's folder is its name, and a resumed run goes on in the same one."""
  import wandb

  name = folder.read_notes(workdir).get('wandb') or secrets.token_hex(4)
  folder.note(workdir, wandb=name)
  try:
    run = wandb.init(
      project='i2i_jax',
      name=workdir.name,
      id=name,
      resume='allow',
      dir=workdir,
      config=to_dict(config),
      settings=wandb.Settings(console='off'),  # a progress bar is no log
    )
  except wandb.Error as error:
    raise RunFault(f'config.writers: wandb: {error}; wandb login, or WANDB_MODE=offline') from None

  def picture(step, name, image):
    run.log({name: wandb.Image(image)}, step=step)

  return Writer(lambda step, values: run.log(values, step=step), picture, run.finish)


KNOWN = {'tensorboard': tensorboard, 'wandb': wandb}


def chosen(names: str) -> list[Callable]:
  """Those of `config.writers`, like 'tensorboard,wandb'. Raises BadInput: not known, or not installed."""
  found = [choice('config.writers', name, KNOWN) for name in names.split(',') if name]
  if 'wandb' in found and not importlib.util.find_spec('wandb'):
    raise BadInput("config.writers: wandb is not installed: pip install 'i2i_jax[wandb]'")
  return [KNOWN[name] for name in found]
