"""Runs an experiment: all its variants with several seeds, then one table, plots and a page of them.

  i2i sweep --experiment=experiments/attention.py --workdir=runs/attention --seeds=3 --jobs=2

An experiment is a file like those in experiments/: its docstring states a question, CONFIG names a config, and
sweep() yields (name, fields of the config to set), the baseline first. FIELDS are set in all variants; MATCH
('params' or 'flops') scales the width of each variant's generator until it costs what the baseline's does; METRIC
(psnr) chooses checkpoints on the validation split and orders the table; PROTOCOL (pixel) is that of the test scores;
SHOW names the metrics in the tables that people read, files have all; COMPARE names pairs of variants that are
compared with one another, besides each with the baseline.

Only what is not yet done is run, so a sweep may be stopped (Ctrl-C or SIGTERM) and started again at will. A run that
fails is named at the end, with the last line of its log; the others continue. Each run has a processor core to
itself (on Linux): so results do not depend on --jobs, and on one machine's CPU they are the same to the last digit.

WORKDIR gets VARIANT/seedN/, which is an ordinary run; table.md, .csv and .tex; comparisons.csv; scores.csv.gz, each
image's scores; times.csv, the only numbers that differ when a sweep is repeated; plots/ and sweep.html. Plots need
matplotlib: pip install -e '.[experiments]'.
"""

import contextlib
import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict
from tqdm import tqdm

from i2i_jax import cli, data, methods, options
from i2i_jax.config import differences, override, to_dict
from i2i_jax.data import fingerprints
from i2i_jax.errors import BadInput, RunFault, choice
from i2i_jax.evaluation import evals, metrics, protocols, scoring
from i2i_jax.runs import folder, layout, stored
from i2i_jax.runtime import cost
from i2i_jax.sweeps import match, report, table
from i2i_jax.sweeps.experiment import Experiment, Images, configs_of

POLL_SECONDS = 0.2
MARK, WIDTHS = 'sweep.json', 'widths.json'
COST: dict[Any, type] = {**dict.fromkeys(table.COSTS, float), str: float}
RESULT = {**stored.RESULT, 'cost': COST}
MATCHED = 0.02  # how far a matched cost may be from the baseline's, as a share of it


class Trial(NamedTuple):
  variant: str
  seed: int
  config: ConfigDict
  folder: Path

  @property
  def file(self) -> Path:
    return self.folder.with_suffix('.json')

  @property
  def log(self) -> Path:
    return self.folder.with_suffix('.log')


# ---------------------------------------------------------------------------------------------------- plan


def variant_configs(experiment: Experiment, given: list[str], cache: Path) -> dict[str, tuple[ConfigDict, float]]:
  """Name -> (config, its generator's cost by the baseline's or nan). Widths that were found are kept in `cache`.

  Args:
    given: fields on the command line, like '--config.steps=20': they are set last, in all variants.
  """
  known = stored.read_or({}, cache, stored.WIDTHS, 'widths are found anew')
  configs, target = {}, 0.0
  for name, config in configs_of(experiment, given).items():
    # Each score of the validation split has its checkpoint, so that the best can be taken.
    override(config, {'checkpoint_every': config.eval_every, 'keep_every': config.eval_every})
    methods.get(config)
    if experiment.metric not in next(iter(evals.names(config, paired=True).values()), ()):
      raise BadInput(
        f'{name}: METRIC = {experiment.metric!r} is not scored each config.eval_every: add it to config.evals'
      )
    ratio = float('nan')
    if experiment.match:
      kind = match.KINDS.get(experiment.match)
      wanted = {'match': experiment.match, 'target': target, 'config': to_dict(config)}
      if not configs:
        target, ratio = cost.generator(config)[kind] if kind else 0.0, 1.0
      elif name in known and known[name]['wanted'] == wanted:
        ratio = known[name]['ratio']
        override(config, {'gen.widths': tuple(known[name]['widths'])})
      else:
        ratio = match.match(config, target, experiment.match)
        if abs(ratio - 1) > MATCHED:
          raise BadInput(
            f'{name}: no widths cost within {MATCHED:.0%} of the baseline; the nearest {config.gen.widths} cost '
            f'{ratio:.1%} of its {experiment.match}: a wider baseline can be met more closely'
          )
        known[name] = {'wanted': wanted, 'ratio': ratio, 'widths': list(config.gen.widths)}
      print(
        f'{name}: {experiment.match} {100 * ratio:.1f}% of the baseline, widths {config.gen.widths or "as they are"}'
      )
    configs[name] = config, ratio
  if known:
    cache.parent.mkdir(parents=True, exist_ok=True)
    folder.write_json(cache, known)
  return configs


def check_folder(workdir: Path, path: Path, experiment: Experiment) -> dict:
  """Raises BadInput unless `workdir` is new, empty, or holds this experiment's sweep; returns what marks it so."""
  mark, file = {'experiment': path.name, 'metric': experiment.metric}, workdir / MARK
  if not file.exists():
    folder.check_empty(workdir, 'sweep', (WIDTHS,))
  elif changed := differences(
    stored.read_json(file, remedy=f'if this is the sweep of {path}, write into it: {json.dumps(mark)}'), mark, MARK
  ):
    raise BadInput(
      f"--workdir: {workdir} holds another experiment's sweep ({'; '.join(changed)}); name another folder"
    )
  return mark


def check_data(runs: list[Trial]) -> Images:
  """The images that all runs are scored on.

  Raises BadInput where they cannot be scored, or are not those that an earlier run was scored on. Data that are made
  from a package are made here, once, and not by several runs at a time.
  """
  known = {}
  for run in runs:
    key = str(run.config.data), run.config.seed  # which pairs are wrong is a matter of the seed
    if key not in known:
      sources = {split: data.get(run.config, split) for split in data.SPLITS}
      for split in ('val', 'test'):
        if not sources[split].paired:
          raise BadInput(f'{run.variant}: its {split} images have no partners to be scored against')
      known[key] = {split: source.fingerprint for split, source in sources.items()}
    if known[key]['test'] != (first := next(iter(known.values()))['test']):
      raise BadInput(f'{run.variant}: its test images ({known[key]["test"]}) are not those of the baseline ({first})')
    if known[key]['val'] == known[key]['test']:
      raise BadInput(
        f'{run.variant}: validation and test are the same images, so checkpoints would be chosen on test; add a val/ '
        'folder'
      )
    old = done['fingerprints'] if (done := result_of(run)) else known[key]
    now = {split: of if fingerprints.differ(old[split], of) else old[split] for split, of in known[key].items()}
    if changed := differences(old, now, 'data'):
      raise BadInput(f'{run.folder} is of other images ({"; ".join(changed)}); name another --workdir')
  test = sources['test']
  return Images([test[i]['name'] for i in range(len(test))], data.groups(test))


def plan(configs: dict[str, tuple[ConfigDict, float]], workdir: Path, seeds: int) -> list[Trial]:
  """All runs, first seeds first: so that each variant is compiled once (programs are kept for the next
  run, and a seed is not part of them), and there is soon something to compare.

  Raises BadInput where a run's folder holds another config's run: also of other steps, since what was trained
  for 300 and then for 100 more is not what is trained for 400.
  """
  runs = []
  for seed in range(seeds):
    for name, (config, _) in configs.items():
      config = config.copy_and_resolve_references()
      override(config, {'seed': seed})
      runs.append(Trial(name, seed, config, workdir / name / f'seed{seed}'))
      file = runs[-1].folder / layout.CONFIG
      if file.exists() and (changed := differences(folder.read_config(runs[-1].folder), to_dict(config))):
        raise BadInput(
          f"{runs[-1].folder} holds another config's run ({'; '.join(changed[:4])}); name another --workdir, or "
          'delete that folder'
        )
  return runs


def result_of(run: Trial) -> dict | None:
  """What a run left when it was done, or None."""
  return stored.read_or(None, run.folder / layout.RESULT, RESULT, 'it is made again, from its checkpoint')


def is_done(run: Trial, protocol: str) -> bool:
  """Whether a run has all of a protocol's scores: not one that was scored before a metric was added."""
  if (result := result_of(run)) is None:
    return False
  names = scoring.names_of(protocols.get(protocol), run.config, paired=True)
  return not scoring.lacking(names, {*result['scores'], *result.get('set_scores', {})})


# ----------------------------------------------------------------------------------------------------- run


def environment(jobs: int) -> dict[str, str]:
  """Of a run: no thread pool is larger than one."""
  variables = {**os.environ, 'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'}
  if jobs > 1:
    variables.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')  # several runs share an accelerator's memory
  return variables


@contextlib.contextmanager
def on_core(slot: int) -> Iterator[None]:
  """A process that is started within inherits one core, and XLA makes as many threads as there are cores."""
  if not hasattr(os, 'sched_setaffinity'):
    yield
    return
  cores = os.sched_getaffinity(0)
  os.sched_setaffinity(0, {sorted(cores)[slot % len(cores)]})
  try:
    yield
  finally:
    os.sched_setaffinity(0, cores)


def start(run: Trial, slot: int, experiment: Experiment, variables: dict[str, str]) -> subprocess.Popen:
  run.folder.parent.mkdir(parents=True, exist_ok=True)
  folder.write_json(run.file, to_dict(run.config))
  arguments = [f'--config={run.file}', f'--workdir={run.folder}', f'--metric={experiment.metric}']
  arguments += [f'--protocol={experiment.protocol}', '--stop_with_parent']
  # A session of its own: Ctrl-C reaches the sweep alone, which then stops each run once. The pipe to its standard
  # input closes when the sweep ends, however it does.
  with open(run.log, 'a') as log, on_core(slot):
    return subprocess.Popen(
      [sys.executable, '-m', 'i2i_jax.sweeps.run', *arguments],
      stdin=subprocess.PIPE,
      stdout=log,
      stderr=subprocess.STDOUT,
      env=variables,
      start_new_session=True,
    )


def wait_for_earlier(runs: list[Trial]) -> None:
  """Runs of a sweep that was killed save and end by themselves: waits until they have."""
  for run in runs:
    file, said = run.folder / layout.LOCK, False
    while file.exists():
      with open(file, 'a') as lock, contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        break
      if not said:
        print(f'waiting for {run.folder}, which another process is still writing')
        said = True
      time.sleep(POLL_SECONDS)


def run_all(runs: list[Trial], jobs: int, experiment: Experiment, total: int) -> tuple[list[tuple[Trial, int]], int]:
  """Runs them, `jobs` at a time. Returns those that failed with their exit codes, and the signal that stopped it."""
  waiting, running, failed = list(runs), {}, []
  variables = environment(jobs)
  terminal = sys.stderr.isatty()
  bar = tqdm(
    total=total,
    initial=total - len(runs),
    unit='run',
    file=sys.stderr if terminal else io.StringIO(),
    bar_format='{percentage:3.0f}% |{bar:20}| run {n_fmt}/{total_fmt}, {elapsed} gone, {remaining} left{postfix}',
  )
  with cli.Stop('stopping the runs, which save; once more to stop at once') as stop, contextlib.closing(bar):
    while waiting or running:
      for slot in range(jobs):
        if waiting and slot not in running and not stop.signal:
          run = waiting.pop(0)
          running[slot] = run, start(run, slot, experiment, variables)
          bar.set_postfix_str(', '.join(f'{r.variant}/seed{r.seed}' for r, _ in running.values()), refresh=terminal)
      if stop.signal:
        for _, process in running.values():
          process.send_signal(signal.SIGTERM)
        for _, process in running.values():
          process.wait()
          process.communicate()  # closes its stdin
        break
      for slot, (run, process) in list(running.items()):
        if process.poll() is not None:
          del running[slot]
          process.communicate()
          bar.update()
          if process.returncode or not is_done(run, experiment.protocol):
            failed.append((run, process.returncode))
          bar.set_postfix_str('')
          if not terminal:
            print(bar, 'after', f'{run.variant}/seed{run.seed}', file=sys.stderr, flush=True)
      time.sleep(POLL_SECONDS)
  return failed, stop.signal


def last_line(log: Path) -> str:
  lines = [line for line in log.read_text(errors='replace').splitlines() if line.strip()] if log.exists() else []
  return lines[-1] if lines else 'it wrote nothing'


def main(args: Namespace | None = None) -> int:
  args = args or options.sweep()
  experiment = args.read
  choice(f'{args.experiment}: METRIC', experiment.metric, metrics.METRICS)
  for name in experiment.shown:
    choice(f'{args.experiment}: SHOW', name, metrics.METRICS)
  mark = check_folder(args.workdir, args.experiment, experiment)
  configs = variant_configs(experiment, args.fields, args.workdir / WIDTHS)
  runs = plan(configs, args.workdir, args.seeds)
  images = check_data(runs)
  command = cli.typed('sweep')
  with folder.lock(args.workdir):
    folder.write_json(args.workdir / MARK, mark)
    wait_for_earlier(runs)
    began = time.monotonic()
    todo = [run for run in runs if not is_done(run, experiment.protocol)]
    failed, stopped = run_all(todo, args.jobs, experiment, len(runs))
    ratios = {name: ratio for name, (_, ratio) in configs.items()}
    results = [
      (run.variant, run.seed, run.folder, result_of(run)) for run in runs if is_done(run, experiment.protocol)
    ]
    if results:
      paths = report.write(
        args.workdir,
        experiment,
        results,
        ratios,
        images,
        command=command,
        seconds=time.monotonic() - began,
      )
      print('\n'.join(map(str, paths)))
  if stopped:
    print(f'stopped with {len(results)} of {len(runs)} runs done; the same command resumes there')
    return 128 + stopped
  if failed:
    reasons = '\n'.join(
      f'  {run.variant}/seed{run.seed}: {last_line(run.log)} (exit code {code}; {run.log})' for run, code in failed
    )
    raise RunFault(f'{len(failed)} of {len(runs)} runs failed; the same command tries them again\n{reasons}')
  return 0


if __name__ == '__main__':
  cli.run(main)
