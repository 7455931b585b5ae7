"""The progress bar of a run, and the time that its steps take."""

import io
import sys
import time

import numpy as np
from tqdm import tqdm

from i2i_jax.health.signs import Alarm
from i2i_jax.training.writers import Writer

SECONDS_A_LINE = 5
SCORES = 3  # of the validation split's, that have room behind the bar


class Progress:
  """On a terminal a live bar; in a log file the same text as a line every few seconds."""

  def __init__(self, *, step: int, steps: int, batch_size: int) -> None:
    self.batch_size = batch_size
    self.terminal = sys.stderr.isatty()
    self.printed = 0.0
    self.signs = ''  # of illness, see health/signs.py
    self.ticks: list[float] = []  # when each step of this session was done
    self.bar = tqdm(
      total=steps,
      initial=step,
      unit='step',
      file=sys.stderr if self.terminal else io.StringIO(),
      bar_format='{percentage:3.0f}% |{bar:20}| step {n_fmt}/{total_fmt}, {elapsed} gone, {remaining} left{postfix}',
    )

  def update(self) -> None:
    """A step is done."""
    self.bar.update()
    self.ticks.append(time.monotonic())

  def step_seconds(self) -> float:
    """The median time of a step of this session: pauses to validate, save or compile leave it as it is."""
    return float(np.median(np.diff(self.ticks))) if len(self.ticks) > 1 else 0.0

  def say(self, line: str) -> None:
    """A line of its own, above the bar."""
    self.bar.write(line, file=sys.stderr)

  def ill(self, alarms: list[Alarm]) -> None:
    """Shows their names behind the bar, until it is given others."""
    self.signs = ', '.join(alarm.name for alarm in alarms)

  def show(self, step: int, values: dict[str, float]) -> None:
    """Losses and the first scores, behind the bar."""
    if all(name.startswith('health/') for name in values):
      return
    rate = (self.bar.format_dict['rate'] or 0) * self.batch_size
    scores = [name for name in values if name.startswith('val/')][:SCORES]
    names = [name for name in values if name.startswith('loss/') or name in scores]
    shown = {name.removeprefix('loss/'): f'{values[name]:.3f}' for name in names}
    if 'data/wait' in values:
      shown['waiting for data'] = f'{values["data/wait"]:.1%}'
    if self.signs:
      shown['ILL'] = self.signs
    self.bar.set_postfix({'img/s': f'{rate:.0f}', **shown}, refresh=self.terminal)
    if not self.terminal and time.monotonic() - self.printed > SECONDS_A_LINE:
      print(self.bar, file=sys.stderr, flush=True)
      self.printed = time.monotonic()

  @property
  def writer(self) -> Writer:
    return Writer(scalars=self.show, close=self.bar.close)
