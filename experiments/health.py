"""Do the signs of illness tell planted faults, and are they silent on healthy runs?

Each fault is planted into the demo's settings at 64 px and trained for 300 steps; the healthy runs are of the
configs as they are, three seeds each, from first to last step. Two hours on 2 CPU cores; what is done is not done
again, and a run that was stopped is resumed.

  python -m experiments.health runs/health                  # all; or some: runs/health collapse 'healthy/pix2pix/*'
  python -m experiments.health runs/health --table          # of what is there
"""

import contextlib
import fnmatch
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from i2i_jax import cli, methods, train
from i2i_jax.config import load
from i2i_jax.health import signs
from i2i_jax.methods.base import Method, output
from i2i_jax.runs import checkpoint, layout
from i2i_jax.runs.log import read_log
from i2i_jax.sweeps.table import as_markdown

STEPS = 300
PIX2PIX, CYCLEGAN, UGATIT = (f'--config={name}:task=relief,size=64' for name in ('pix2pix', 'cyclegan', 'ugatit'))


class Trial(NamedTuple):
  fields: list[str]  # of the command line
  expected: str  # a sign; '': none
  plant: Callable[[Method], Method] = lambda method: method


def translated(change: Callable, direction: str = 'ab') -> Callable[[Method], Method]:
  """Plants `change(images, fake)` into what a direction puts out; training itself stays as it is."""

  def plant(method):
    of = method.translators[direction]

    def run(state, images, rng, want=output):
      return change(images, of.run(state, images, rng, want))

    return method._replace(translators={**method.translators, direction: of._replace(run=run)})

  return plant


def checkerboard(images: jax.Array, fake: jax.Array) -> jax.Array:
  """A tenth of the range up and down, pixel by pixel."""
  rows, columns = np.indices(fake.shape[1:3])
  return jnp.clip(fake + 0.1 * (1 - 2 * ((rows + columns) % 2))[None, ..., None], -1, 1)


def nearest(images: jax.Array, fake: jax.Array) -> jax.Array:
  """Each block of 2x2 px is one colour."""
  return fake[:, ::2, ::2].repeat(2, 1).repeat(2, 2)


def hiding(method: Method) -> Method:
  """A translation is gray with its input in it, too faint to be seen; the way back finds it there."""
  there = translated(lambda images, fake: 0.01 * images)(method)
  return translated(lambda images, fake: jnp.clip(100 * images, -1, 1), 'ba')(there)


FAULTS = {
  'rate-x100': Trial([PIX2PIX, '--config.optim.disc_lr_ratio=100'], 'disc-lost'),
  'frozen': Trial([PIX2PIX, '--config.optim.disc_lr_ratio=0'], 'disc-frozen'),
  'constant': Trial([PIX2PIX], 'collapse', translated(lambda images, fake: 0 * fake + 0.2)),
  'two-to-one': Trial([PIX2PIX, '--config.loss.reconstruction_weight=0', '--config.optim.disc_every=2'], 'disc-lost'),
  'checkerboard': Trial([PIX2PIX], 'grid', translated(checkerboard)),
  'nearest': Trial([PIX2PIX], 'blocks', translated(nearest)),
  'swapped-colour': Trial([PIX2PIX], 'swapped-colour', translated(lambda images, fake: fake[..., ::-1])),
  'inverted-colour': Trial([PIX2PIX], 'swapped-colour', translated(lambda images, fake: -fake)),
  'shuffled': Trial([PIX2PIX, '--config.data.wrong_pairs=1'], 'no-pairs'),
  'saturated': Trial([PIX2PIX], 'saturation', translated(lambda images, fake: jnp.clip(8 * fake, -1, 1))),
  'eight-pairs': Trial([PIX2PIX, '--config.data.limit=8'], 'memorised'),
  'identity': Trial([PIX2PIX], 'does-nothing', translated(lambda images, fake: images)),
  'hiding': Trial([CYCLEGAN], 'hidden-input', hiding),
}
HEALTHY = {
  f'healthy/{name}/seed{seed}': Trial([config, f'--config.seed={seed}'], '')
  for name, config in (('pix2pix', PIX2PIX), ('cyclegan', CYCLEGAN), ('ugatit', UGATIT))
  for seed in range(3)
}
TRIALS = FAULTS | HEALTHY


@contextlib.contextmanager
def planted(plant: Callable[[Method], Method]) -> Iterator[None]:
  get = methods.get
  with mock.patch.object(methods, 'get', lambda *args, **kwargs: plant(get(*args, **kwargs))):
    yield


def run(name: str, folder: Path) -> int:
  trial = TRIALS[name]
  config = load([*trial.fields, '--config.evals=psnr', '--config.writers='])
  end = STEPS if name in FAULTS else config.steps
  if max(checkpoint.steps(folder), default=0) >= end:
    return 0
  print(f'== {name}')
  with planted(trial.plant):
    return train.train(config, folder, mesh_spec='data=1', stop_at=end)


def table(workdir: Path) -> str:
  """What each trial was told, and the worst of each reading in healthy runs beside its threshold."""
  rows, worst = [], {}
  for name, trial in TRIALS.items():
    log = read_log(workdir / name / layout.LOG)
    if not (looks := [line for line in log if signs.readings(line)]):
      continue
    found = signs.alarms(log)
    told = [f'{alarm.name} (step {told_at(log, alarm)})' for alarm in found]
    rows.append([name, trial.expected or 'none', ', '.join(told) or 'none', str(looks[-1]['step'])])
    for sign_name, sign in signs.SIGNS.items() if not trial.expected else ():
      for line in looks:
        values = [v for side in signs.WHERE if (v := signs.readings(line).get(sign.reading + side)) is not None]
        worst.setdefault(sign_name, []).extend(values)
  readings = [
    [name, sign.reading, f'{"above" if sign.above else "below"} {sign.limit:g}', f'{min(of):.3g} to {max(of):.3g}']
    for name, sign in signs.SIGNS.items()
    if (of := worst.get(name))
  ]
  return '\n'.join(
    [
      as_markdown(['run', 'expected', 'told (at which step)', 'steps'], rows),
      as_markdown(['sign', 'reading', 'threshold', 'healthy runs'], readings),
    ]
  )


def told_at(log: list[dict], alarm: signs.Alarm) -> int:
  """The look at which it had lasted."""
  looks = [line['step'] for line in log if signs.readings(line)]
  return looks[looks.index(alarm.since) + signs.LASTS - 1]


def main() -> int:
  workdir, *chosen = [Path(sys.argv[1]), *(a for a in sys.argv[2:] if a != '--table')]
  for name in TRIALS if '--table' not in sys.argv else ():
    if not chosen or any(fnmatch.fnmatch(name, pattern) for pattern in chosen):
      if code := run(name, workdir / name):
        return code
      jax.clear_caches()
  print(table(workdir))
  return 0


if __name__ == '__main__':
  cli.run(main)
