"""The tables of a sweep, from its runs' results: as rows of numbers, CSV, Markdown and LaTeX.

Scores are means over test images and seeds, with the standard deviation over seeds. Differences are from the first
variant, and of the pairs that an experiment names besides, with the 95% interval of `stats.compare` and a p-value
corrected for the number of comparisons in the table (Holm). A star means that the corrected p is under 0.05. Nothing
in them is measured with a clock: times are in `times`.
"""

import csv
import gzip
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import numpy as np

from i2i_jax.evaluation import metrics
from i2i_jax.runtime.cost import short
from i2i_jax.sweeps import stats

COSTS = ('gen_parameters', 'gen_flops', 'parameters', 'step_flops', 'step_bytes')
PARTS = ('diff', 'low', 'high', 'p')  # of a comparison, p corrected
SIGNIFICANT = 0.05


def by_variant(results: list[tuple]) -> dict[str, dict[int, dict]]:
  """Variant -> seed -> result, of (variant, seed, folder, result)."""
  names = dict.fromkeys(variant for variant, *_ in results)
  return {name: {seed: r for variant, seed, _, r in results if variant == name} for name in names}


def metrics_of(results: list[tuple]) -> list[str]:
  """Those that all runs have, in the order of METRICS."""
  return metrics.ordered(set.intersection(*({*r['scores'], *r.get('set_scores', {})} for *_, r in results)))


def scores_of(runs: list[dict], metric: str) -> np.ndarray:
  """[S, I], or [S, 1] of a score that only a set of images has."""
  return np.array([r['scores'].get(metric) or [r['set_scores'][metric]] for r in runs])


def comparisons(results: list[tuple], pairs: list[tuple[str, str]], groups: list | None) -> list[dict]:
  """A dict of numbers for each pair (variant, against) of which seeds are done in both.

  Args:
    results: (variant, seed, folder, result) of each run that is done, as result.json has it.
    groups: the label of each test image, see `stats.compare`.
  """
  runs, out = by_variant(results), []
  for pair in pairs:
    first, second = (runs.get(name, {}) for name in pair)
    if not (both := sorted(first.keys() & second.keys())):
      continue
    line: dict[str, Any] = dict(zip(('variant', 'against'), pair, strict=True))
    for metric in metrics_of(results):
      scores = (scores_of([r[seed] for seed in both], metric) for r in (first, second))
      found = stats.compare(np.subtract(*scores), groups)
      line |= {f'{metric}_{part}': value for part, value in zip(PARTS, found, strict=True)}
    out.append(line)
  for metric in metrics_of(results):
    for line, p in zip(out, stats.holm([line[f'{metric}_p'] for line in out]), strict=True):
      line[f'{metric}_p'] = p
  return out


def power(results: list[tuple], pairs: list[tuple[str, str]], groups: list | None) -> dict[str, float]:
  """Of each metric: the smallest difference that a table of so many comparisons would star in 80% of cases.

  The root mean square over its comparisons. The arguments are those of `comparisons`.
  """
  runs, found = by_variant(results), {}
  both = {pair: sorted(set.intersection(*(set(runs.get(name, {})) for name in pair))) for pair in pairs}
  for metric in metrics_of(results):
    values = []
    for pair, seeds in both.items():
      if seeds:
        scores = (scores_of([runs[name][seed] for seed in seeds], metric) for name in pair)
        values.append(stats.detectable(np.subtract(*scores), groups, len(pairs)))
    found[metric] = float(np.sqrt(np.mean(np.square(values)))) if values else math.nan
  return found


def power_line(found: dict[str, float], shown: Iterable[str]) -> str:
  """'These seeds and groups of images would star, in 80% of cases, a difference of 0.35 dB in PSNR, ...'"""
  parts = [
    f'{metrics.entry(name).text(value)}{" " + unit if (unit := metrics.entry(name).unit) else ""} in '
    f'{metrics.entry(name).label}'
    for name in shown
    if not math.isnan(value := found.get(name, math.nan))
  ]
  listed = ', '.join(parts[:-1]) + (' or ' if len(parts) > 1 else '') + ''.join(parts[-1:])
  return f'What this design can see: in 80% of such tables it would star a difference of {listed}.' if parts else ''


def rows(results: list[tuple], ratios: dict[str, float], compared: list[dict]) -> list[dict]:
  """A dict of numbers for each variant of which a run is done, the baseline first.

  Args:
    results: as for `comparisons`, whose result `compared` is.
    ratios: of each variant, the baseline first: its matched cost by the baseline's, or nan.
  """
  runs, base = by_variant(results), next(iter(ratios))
  differences = {line['variant']: line for line in compared if line['against'] == base}
  out = []
  for name in ratios:
    if name not in runs:
      continue
    row = {'variant': name, 'seeds': len(runs[name])}
    for metric in metrics_of(results):
      scores = scores_of([runs[name][seed] for seed in sorted(runs[name])], metric)
      row[f'{metric}_mean'], row[f'{metric}_sd'] = stats.spread(scores)
      row |= {key: differences.get(name, {}).get(key, math.nan) for key in (f'{metric}_{part}' for part in PARTS)}
    cost = runs[name][min(runs[name])]['cost']
    out.append(row | {'cost_ratio': ratios[name], **{key: cost[key] for key in COSTS}})
  return out


def scores_csv(results: list[tuple], names: list[str], groups: list) -> bytes:
  """Each score of each image, compressed: what intervals can be computed from anew. The same bytes each time."""
  lines = [
    {'variant': variant, 'seed': seed, 'image': name, 'group': group}
    | {metric: f'{result["scores"][metric][i]:.7g}' for metric in result['scores']}
    for variant, seed, _, result in results
    for i, (name, group) in enumerate(zip(names, groups, strict=True))
  ]
  return gzip.compress(as_csv(lines).encode(), mtime=0)


def times(results: list[tuple]) -> list[dict]:
  """What was measured with a clock: the median time of an update, and of a run's training. It differs each time."""
  return [
    {
      'variant': name,
      'step_ms': round(1000 * median([r['cost'].get('step_seconds', math.nan) for r in runs.values()]), 1),
      'run_seconds': round(float(np.median([r['seconds'] for r in runs.values()])), 1),
    }
    for name, runs in by_variant(results).items()
  ]


def median(values: list[float]) -> float:
  """Of those that are known: a run that took one step has no time of a step."""
  known = [value for value in values if not math.isnan(value)]
  return float(np.median(known)) if known else math.nan


def as_csv(rows: list[dict]) -> str:
  """All numbers in full, an empty field where there is none."""
  if not rows:
    return ''
  out = io.StringIO()
  writer = csv.DictWriter(out, rows[0].keys(), lineterminator='\n')
  writer.writeheader()
  for row in rows:
    writer.writerow({k: '' if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()})
  return out.getvalue()


def read(file: TextIO) -> list[dict]:
  """The rows that `as_csv` wrote into an open file: numbers, nan where there is none."""
  texts = ('variant', 'against')
  return [{k: v if k in texts else float(v or 'nan') for k, v in row.items()} for row in csv.DictReader(file)]


def cells(rows: list[dict], shown: Sequence[str]) -> tuple[list[str], list[list[str]]]:
  """Heads and cells of the table that people read: the metrics `shown` in that order, each with its difference."""
  order = [name for name in shown if f'{name}_mean' in rows[0]]
  matched = any(not math.isnan(row['cost_ratio']) for row in rows)
  heads = [
    'variant',
    'seeds',
    *(text for name in order for text in (metrics.entry(name).head, 'difference, 95% interval')),
  ]
  heads += ['generator, parameters', 'FLOP an image', *(['cost matched'] if matched else [])]
  heads += ['update, FLOP', 'activations, B']
  lines = []
  for row in rows:
    line = [row['variant'], str(row['seeds'])]
    line += [text for name in order for text in (score(row, name), difference(row, name))]
    line += [short(row['gen_parameters']), short(row['gen_flops'])]
    line += [f'{100 * row["cost_ratio"]:.1f}%'] if matched else []
    lines.append([*line, short(row['step_flops']), short(row['step_bytes'])])
  return heads, lines


def comparison_cells(compared: list[dict], shown: Sequence[str]) -> tuple[list[str], list[list[str]]]:
  """Heads and cells of the table of comparisons: each with its interval and its corrected p."""
  order = [name for name in shown if compared and f'{name}_diff' in compared[0]]
  heads, lines = ['variant', 'against'], [[line['variant'], line['against']] for line in compared]
  for name in order:
    heads += [f'{metrics.entry(name).head}: difference, 95% interval', 'p, corrected']
    for cells, line in zip(lines, compared, strict=True):
      cells += [difference(line, name), p_value(line, name)]
  return heads, lines


def score(row: dict, metric: str) -> str:
  digits, deviation = metrics.entry(metric).digits, row[f'{metric}_sd']
  mean = f'{row[f"{metric}_mean"]:.{digits}f}'
  return mean if math.isnan(deviation) else f'{mean} ± {deviation:.{digits}f}'


def difference(row: dict, metric: str) -> str:
  """'+0.21 [+0.05, +0.37] *': a star where the p-value, corrected for the number of comparisons, is under 0.05."""
  mean, low, high, corrected = (row[f'{metric}_{part}'] for part in PARTS)
  digits = metrics.entry(metric).digits
  if math.isnan(mean):
    return ''
  if math.isnan(low):
    return f'{mean:+.{digits}f}'
  star = ' *' if corrected < SIGNIFICANT else ''
  return f'{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]{star}'


def p_value(row: dict, metric: str) -> str:
  value = row[f'{metric}_p']
  return '' if math.isnan(value) else '< 0.001' if value < 0.001 else f'{value:.3f}'


def as_markdown(heads: list[str], lines: list[list[str]]) -> str:
  """A table of `cells` or `comparison_cells`."""
  words = sum(head in ('variant', 'against') for head in heads)
  rule = [*['---'] * words, *['---:'] * (len(heads) - words)]
  return '\n'.join(f'| {" | ".join(cell.strip() for cell in line)} |' for line in (heads, rule, *lines)) + '\n'


def as_latex(heads: list[str], lines: list[list[str]]) -> str:
  """A tabular, without packages."""
  signs = {'%': r'\%', '_': r'\_', '±': r'$\pm$', '↑': r'$\uparrow$', '↓': r'$\downarrow$', '&': r'\&', '#': r'\#'}

  def line(parts):
    return ' & '.join(''.join(signs.get(c, c) for c in part.strip()) for part in parts) + r' \\'

  body = ['\\hline', line(heads), '\\hline', *map(line, lines), '\\hline']
  return '\n'.join([f'\\begin{{tabular}}{{l{"r" * (len(heads) - 1)}}}', *body, '\\end{tabular}', ''])
