"""A trace of a few training steps: what --profile records."""

from pathlib import Path
from typing import Self

import jax

from i2i_jax.runs import layout

STEPS = range(3, 6)  # of those that this session takes: the first ones compile


class Trace:
  """Records STEPS into WORKDIR/profile, for Perfetto and for XProf. Without a `start`, does nothing."""

  def __init__(self, workdir: Path, start: int | None) -> None:
    self.folder, self.on = workdir / layout.PROFILE, False
    self.steps = range(0) if start is None else range(start + STEPS.start, start + STEPS.stop)

  def __enter__(self) -> Self:
    return self

  def before(self, step: int) -> None:
    """Called at the beginning of step `step`."""
    if self.steps and step == self.steps[0]:
      options = jax.profiler.ProfileOptions()
      options.python_tracer_level = 0  # every call in Python would be most of the trace
      jax.profiler.start_trace(self.folder, create_perfetto_trace=True, profiler_options=options)
      self.on = True

  def after(self, step: int, metrics: dict) -> None:
    """Called when the step is on its way; waits for the last one that is recorded."""
    if self.on and step == self.steps[-1]:
      jax.block_until_ready(metrics)
      self.__exit__()
      trace = max(self.folder.rglob('perfetto_trace.json.gz'), key=lambda file: file.stat().st_mtime)
      print(
        f'profile of steps {self.steps[0]} to {step}: {trace} for https://ui.perfetto.dev; {self.folder} for XProf'
      )

  def __exit__(self, *_: object) -> None:
    if self.on:
      self.on = False
      jax.profiler.stop_trace()
