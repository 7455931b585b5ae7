"""What a sweep leaves in its folder: tables, times, plots, and a page with the same test pictures of all variants."""

import datetime
import os
import platform
from pathlib import Path
from typing import Any

import jax

from i2i_jax.pages.page import data_url, fill
from i2i_jax.runs import layout, stored
from i2i_jax.runs.folder import versions, write_json, write_text
from i2i_jax.runtime import files
from i2i_jax.sweeps import plots, table
from i2i_jax.sweeps.experiment import Experiment, Images


def write(
  workdir: Path,
  experiment: Experiment,
  results: list[tuple],
  ratios: dict[str, float],
  images: Images,
  *,
  command: str,
  seconds: float,
) -> list[Path]:
  """Writes table.md, .csv, .tex, comparisons.csv, scores.csv.gz, times.csv, about.json, plots/ and sweep.html.

  Args:
    results: (variant, seed, folder, result) of each run that is done.
    ratios: the matched cost of each variant by the baseline's. images: those that were scored.
    seconds: that this session of the sweep took.

  Returns:
    The paths of table and page.
  """
  base, *others = ratios
  pairs = [*((name, base) for name in others), *experiment.compare]
  compared = table.comparisons(results, pairs, images.groups)
  rows, times = table.rows(results, ratios, compared), table.times(results)
  heads, lines = table.cells(rows, experiment.shown)
  markdown = table.as_markdown(heads, lines)
  comparison_heads, comparison_lines = table.comparison_cells(compared, experiment.shown)
  if compared:
    markdown += '\n' + table.as_markdown(comparison_heads, comparison_lines)
    power = table.power_line(table.power(results, pairs, images.groups), experiment.shown)
    markdown += f'\n{power}\n' if power else ''
  texts = {
    'table.csv': table.as_csv(rows),
    'comparisons.csv': table.as_csv(compared),
    'table.md': markdown,
    'table.tex': table.as_latex(heads, lines),
    'times.csv': table.as_csv(times),
  }
  for name, text in texts.items():
    write_text(workdir / name, text)
  files.replace(workdir / 'scores.csv.gz', table.scores_csv(results, images.names, images.groups))
  about = note(workdir / 'about.json', command, seconds, len(results))
  drawn = plots.draw(workdir / 'plots', rows, times, results, experiment.shown)
  milliseconds = {line['variant']: line['step_ms'] for line in times}
  values = {
    'question': experiment.question,
    'heads': [*heads, 'ms an update'],
    'lines': [[*line, f'{milliseconds[line[0]]:.0f}'.replace('nan', '')] for line in lines],
    'comparisons': {'heads': comparison_heads, 'lines': comparison_lines},
    'plots': {name: data_url(path) for name, path in drawn.items()},
    'pictures': pictures(results),
    'about': about,
  }
  page = workdir / 'sweep.html'
  fill(page, values)
  return [workdir / 'table.md', page]


def note(path: Path, command: str, seconds: float, done: int) -> dict:
  """Command, dates, machine and versions; the seconds of all sessions in which a run was done are added up."""
  now = datetime.datetime.now().astimezone()
  began = (now - datetime.timedelta(seconds=seconds)).isoformat(timespec='seconds')
  new: dict[str, Any] = {'started': began, 'seconds': 0.0, 'runs': 0}
  old = stored.read_or(new, path, stored.ABOUT, 'it is written anew')
  if done == old['runs']:
    return old
  about = {
    'command': command,
    'started': old['started'],
    'ended': now.isoformat(timespec='seconds'),
    'seconds': round(old['seconds'] + seconds, 1),
    'runs': done,
    'machine': f'{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}',
    'versions': versions('jax', 'flax'),
  }
  write_json(path, about)
  return about


def pictures(results: list[tuple]) -> dict:
  """{'columns': [input, target, each variant], 'rows': [{'name', 'images'}]}, of each variant's first seed."""
  folders = {}
  for variant, _, folder, _ in results:
    folders.setdefault(variant, folder / layout.scores('test'))
  first = next(iter(folders.values()))
  names = [p.name.removesuffix('_output.png') for p in sorted(first.glob('*_output.png'))]
  rows = []
  for name in names:
    files = [first / f'{name}_input.png', first / f'{name}_target.png']
    files += [folder / f'{name}_output.png' for folder in folders.values()]
    if all(file.exists() for file in files):
      rows.append({'name': name, 'images': [data_url(file, 90) for file in files]})
  return {'columns': ['input', 'target', *folders], 'rows': rows}
