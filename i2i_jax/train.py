"""Trains what a config describes, or resumes the run in --workdir.

  i2i train --config=pix2pix:task=relief,size=64 --workdir=runs/x

Any field of the config can be set: --config.steps=2000 --config.optim.lr=1e-4 --config.loss.gan=lsgan.
i2i_jax/fields.py lists the fields. After a config's name comes its argument, as above; each takes
`runlocal`, a version that ends within a minute on a laptop.

--profile records a few steps in WORKDIR/profile, for https://ui.perfetto.dev or XProf.

A run's folder holds config.json, run.json (command, versions, device), metrics.jsonl, tensorboard/, samples/
(pictures of validation images: input, output, target), checkpoints/ and report.html. Ctrl-C or SIGTERM saves a
checkpoint and ends (exit code 130 or 143); the same command resumes there, exactly.
"""

import contextlib
import functools
import sys
import time
from argparse import Namespace
from pathlib import Path

import jax
from ml_collections import ConfigDict

from i2i_jax import cli, data, methods, options
from i2i_jax.data import checks
from i2i_jax.methods import base
from i2i_jax.pages import report
from i2i_jax.plan import make_plan
from i2i_jax.runs import checkpoint, folder
from i2i_jax.runtime import compiling, cost, memory, mesh, precision, stopping
from i2i_jax.runtime.describe import describe
from i2i_jax.training import begin, grow, health, hooks, profiling, writers
from i2i_jax.training.batches import Batches
from i2i_jax.training.progress import Progress


def train(
  config: ConfigDict,
  workdir: Path,
  *,
  mesh_spec: str = '',
  init_from: Path | None = None,
  stop_at: int | None = None,
  profile: bool = False,
  command: str = '',
) -> int:
  """Trains up to config.steps, or only up to `stop_at`. Returns 0, or 128 + the signal that stopped it.

  A new run starts from the weights of the run in `init_from`, if one is named; `profile` records a few steps.
  """
  # ----------------------------------------------------------------------------------- plan: nothing is written
  plan = make_plan(config, workdir, mesh_spec=mesh_spec, init_from=init_from, stop_at=stop_at, profile=profile)
  if plan.start >= plan.end and not hooks.unscored(plan, plan.start):
    print(f'{workdir} is complete: {plan.start} of {plan.end} steps done, nothing to train')
    return 0
  if plan.start == 0:
    for line in checks.quick(plan.train_data, config):
      print(f'warning: {line}; i2i check shows more', file=sys.stderr)

  # ------------------------------------------------------------------------------------------------- compile
  init_key, key = jax.random.split(jax.random.key(config.seed))
  key = jax.device_put(key, plan.shardings.replicated)
  train_step = compiled_step(plan.method, plan.shardings)
  costs = cost.run_cost(config, plan.method, plan.shapes, train_step, begin.arguments(plan, key))
  print(cost.line(costs))
  memory.give_back()  # before there is a state: a process needs the room for compiling or for the state, not for both
  state = None if plan.start else begin.fresh(plan, init_key)

  with folder.lock(workdir), checkpoint.manager(workdir, config) as checkpoints:
    # --------------------------------------------------------------------------------------- begin, or resume
    begin.check_unchanged(plan)
    processes = {'process_index': jax.process_index(), 'process_count': jax.process_count()}
    iterator = data.train_iterator(plan.train_data, config, **processes)
    if plan.start:
      state, key = begin.resumed(plan, checkpoints, iterator)
    begin.note(plan, command, costs)
    begin.keep_inputs(plan)
    progress, batches = Progress(step=plan.start, steps=config.steps, batch_size=config.batch_size), Batches(iterator)
    chosen = (writers.files, *writers.chosen(config.writers))
    writer = writers.together([progress.writer, *(make(workdir, config, plan.start) for make in chosen)])
    predict = hooks.programs(plan)
    check, log = hooks.check_finite(plan, lambda: state), hooks.log(plan, writer, batches)
    watch, validate = health.watch(plan, writer, predict, progress), hooks.validate(plan, writer, predict)
    save = hooks.save(plan, checkpoints, iterator, key)
    every = (check, log, watch, validate, save)  # what is not finite is not logged; a saved checkpoint was scored
    if plan.start == 0 or hooks.unscored(plan, plan.start):
      validate.act(plan.start, state)

    # ------------------------------------------------------------------------------------------------ loop
    late = None  # step and metrics of the step before, fetched while the device computes
    step, began, traced = plan.start, time.monotonic(), plan.start if profile else None

    def put_away(step, state):
      """Saves and ends a session that a signal stops. Scores that it cut off are made when the run is resumed."""
      save.act(step, state)
      checkpoint.wait(checkpoints)
      writer.close()
      folder.note_time(workdir, time.monotonic() - began, progress.step_seconds())
      print(f'stopped at step {step} of {config.steps}, saved; the same command resumes there')
      return 128 + stop.signal

    with contextlib.closing(writer), profiling.Trace(workdir, traced) as trace, cli.Stop() as stop:
      for step in range(plan.start + 1, plan.end + 1):
        trace.before(step)
        local = next(batches)
        batch = jax.tree.map(lambda x: jax.make_array_from_process_local_data(plan.shardings.data, x), local)
        with jax.transfer_guard('disallow'), jax.profiler.StepTraceAnnotation('train', step_num=step):
          state, metrics = train_step(state, batch, key, grow.size_at(plan.stages, step - 1))
        trace.after(step, metrics)
        if late:
          hooks.tell(every, *late)
        late = step, metrics
        progress.update()

        due = [hook for hook in every if hook.due(step, step == plan.end)]
        stopped = bool(stop.signal)
        if due or stopped:
          hooks.tell(every, *late)
          late = None
        for hook in due if not stopped else [watch] * (watch in due):  # scores are made on resuming, looks are not
          # Scoring and drawing may compile for long: a signal does not wait for them.
          leave = functools.partial(cli.outcome, functools.partial(put_away, step, state))
          with stopping.leaving(leave if hook is validate else None):
            hook.act(step, state)
        if stopped:
          break
      if stop.signal:
        return put_away(step, state)
      checkpoint.wait(checkpoints)
    folder.note_time(workdir, time.monotonic() - began, progress.step_seconds())

  # ------------------------------------------------------------------------------------------------- finish
  took = f'{1000 * progress.step_seconds():.0f} ms a step'
  print(f'{workdir}: step {step} of {config.steps}, {took}; page: {report.write(workdir)}')
  return 0


def compiled_step(method: base.Method, shardings: mesh.Shardings) -> jax.stages.Wrapped:
  """The whole update, (state, batch, key) -> (state, metrics), as one program; the state is given away to it.

  A fourth argument, (height, width), is the size that the batch is brought to first: a program each.
  """

  def train_step(state, batch, key, size=None):
    return method.train_step(state, grow.downsized(batch, size), jax.random.fold_in(key, state.step))

  return compiling.jit(train_step, donate_argnums=0, static_argnums=3, out_shardings=shardings.replicated)


def main(args: Namespace | None = None) -> int:
  args = args or options.train()
  config = args.config
  if args.describe:
    print(describe(methods.get(config), config))
    return 0
  precision.enable(config.precision)
  command = cli.typed('train')
  return train(
    config,
    args.workdir,
    mesh_spec=args.mesh,
    init_from=args.init_from,
    stop_at=args.stop_at,
    profile=args.profile,
    command=command,
  )


if __name__ == '__main__':
  cli.run(main)
