"""Everything about a training run that can be refused, before a byte is written."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_collections

from i2i_jax import data, methods, ranges
from i2i_jax.errors import BadInput
from i2i_jax.evaluation import evals
from i2i_jax.methods.base import Method, State
from i2i_jax.runs import checkpoint, folder
from i2i_jax.runtime import mesh, precision
from i2i_jax.training import grow, profiling, writers


class Plan(NamedTuple):
  config: ml_collections.ConfigDict
  workdir: Path
  shardings: mesh.Shardings
  train_data: Any  # sources, see data/__init__.py
  val_data: Any
  method: Method
  shapes: State  # of jax.ShapeDtypeStruct
  stages: list  # of sizes, see training/grow.py
  start: int  # steps that are done: the newest checkpoint that is good
  end: int  # where this session ends
  evals: list  # (each so many steps, metrics, weights of the nets they need), see evaluation/evals.py
  init_from: Path | None
  profile: bool


def make_plan(
  config: ml_collections.ConfigDict,
  workdir: Path,
  *,
  mesh_spec: str = '',
  init_from: Path | None = None,
  stop_at: int | None = None,
  profile: bool = False,
) -> Plan:
  """What `train` is about to do; see there. Writes nothing.

  Raises:
    BadInput: config, data, devices, the folder or the room on its disk do not do. A run that is complete is not
      refused: its plan ends where it starts, or before.
  """
  ranges.check(config)
  data.check_sizes(config.data)
  if stop_at is not None and stop_at < 1:
    raise BadInput(f'--stop_at={stop_at} must be at least 1')
  writers.chosen(config.writers)
  precision.check(config.precision)
  shardings = mesh.make(mesh_spec)
  check_batch(config, shardings)
  folder.check(workdir, config)
  train_data, val_data = data.get(config, 'train'), data.get(config, 'val')
  method = methods.get(config, steps_per_epoch=max(1, len(train_data) // config.batch_size))
  if 'ba' not in method.translators and not train_data.paired:
    raise BadInput(f'config.data.paired: {config.method} learns from pairs, and these images have none; use cyclegan')
  with ThreadPoolExecutor(1) as pool:
    newest = pool.submit(checkpoint.newest, workdir)  # whose files are read while the nets are traced
    shapes = jax.eval_shape(method.init, jax.random.key(0), checkpoint.example_batch(config))
    stages = grow.stages(config)
    grow.check(config, method, shapes)
  start, end = newest.result() or 0, min(config.steps, stop_at or config.steps)
  if profile and 0 < end - start < profiling.STEPS[-1]:
    raise BadInput(
      f'--profile: {end - start} steps are left to do, and it needs {profiling.STEPS[-1]}; raise config.steps'
    )
  if start < end:
    checkpoint.check_room(workdir, shapes, copies=2, fault=BadInput)
  scores = evals.read(config, val_data.paired, {direction[1] for direction in method.translators})
  for source, split in ((train_data, 'train'), (val_data, 'val')) if start < end else ():
    data.check_ranges(source, config.data, split)
  return Plan(
    config, workdir, shardings, train_data, val_data, method, shapes, stages, start, end, scores, init_from, profile
  )


def check_batch(config: ml_collections.ConfigDict, shardings: mesh.Shardings) -> None:
  if config.batch_size % shardings.devices:
    raise BadInput(
      f'config.batch_size = {config.batch_size} cannot be split over {shardings.devices} devices: make it a '
      'multiple, or use fewer devices, like --mesh data=1'
    )
