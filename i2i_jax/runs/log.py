"""What a run leaves behind while it goes: scalars as JSONL and for TensorBoard, image grids, a progress bar."""

import io
import json
import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from i2i_jax.data import images
from i2i_jax.runs import layout
from i2i_jax.runs.folder import write_text

# tensorboardX imports PyTorch wherever it is installed: a second and 180 MB, of which nothing here has a use.
hidden = sys.modules.setdefault('torch', None) is None  # type: ignore[arg-type]
import tensorboardX  # noqa: E402

if hidden:
  del sys.modules['torch']

SECONDS_A_LINE = 5


class Writer:
  """Writes into a run's folder; a resumed run continues from its checkpoint's step."""

  def __init__(self, workdir: Path, *, step: int, steps: int, batch_size: int) -> None:
    self.workdir, self.batch_size = workdir, batch_size
    self.log = workdir / layout.LOG
    truncate(self.log, step)
    self.board = tensorboardX.SummaryWriter(str(workdir / layout.TENSORBOARD), purge_step=step + 1)
    # On a terminal a live bar; in a log file the same text as a line every few seconds.
    self.terminal = sys.stderr.isatty()
    self.printed = 0.0
    self.ticks: list[float] = []  # when each step of this session was done
    self.bar = tqdm(
      total=steps,
      initial=step,
      unit='step',
      file=sys.stderr if self.terminal else io.StringIO(),
      bar_format='{percentage:3.0f}% |{bar:20}| step {n_fmt}/{total_fmt}, {elapsed} gone, {remaining} left{postfix}',
    )

  def progress(self) -> None:
    self.bar.update()
    self.ticks.append(time.monotonic())

  def step_seconds(self) -> float:
    """The median time of a step of this session: pauses to validate, save or compile leave it as it is."""
    return float(np.median(np.diff(self.ticks))) if len(self.ticks) > 1 else 0.0

  def scalars(self, step: int, scalars: dict[str, float]) -> None:
    """Appends a line {'step': ..., 'loss/l1': ...} and shows the losses."""
    with open(self.log, 'a') as file:
      file.write(json.dumps({'step': step, **scalars}) + '\n')
    for name, value in scalars.items():
      self.board.add_scalar(name, value, step)
    rate = (self.bar.format_dict['rate'] or 0) * self.batch_size
    shown = {k.removeprefix('loss/'): f'{v:.3f}' for k, v in scalars.items() if k.startswith(('loss/', 'val/'))}
    if 'data/wait' in scalars:
      shown['waiting for data'] = f'{scalars["data/wait"]:.1%}'
    self.bar.set_postfix({'img/s': f'{rate:.0f}', **shown}, refresh=self.terminal)
    if not self.terminal and time.monotonic() - self.printed > SECONDS_A_LINE:
      print(self.bar, file=sys.stderr, flush=True)
      self.printed = time.monotonic()

  def grid(self, step: int, rows: list, name: str = layout.SAMPLES) -> None:
    """Saves rows of uint8 images as samples/step_00000100.png."""
    picture = images.grid(rows)
    folder = self.workdir / name
    folder.mkdir(exist_ok=True)
    images.write_png(folder / f'step_{step:08d}.png', picture)
    self.board.add_image(name, picture, step, dataformats='HWC')

  def close(self) -> None:
    self.bar.close()
    self.board.close()


def read_log(path: Path) -> list[dict]:
  """The lines of a metrics.jsonl; one that a kill cut short is left out."""
  lines = []
  for line in path.read_text().splitlines() if path.exists() else []:
    try:
      lines.append(json.loads(line))
    except json.JSONDecodeError:
      continue
  return lines


def truncate(path: Path, step: int) -> None:
  """Drops the lines after `step`, which a resumed run writes again."""
  if path.exists():
    kept = [json.dumps(line) + '\n' for line in read_log(path) if line['step'] <= step]
    write_text(path, ''.join(kept))
