"""The table of a sweep, from its runs' results: as rows of numbers, CSV, Markdown and LaTeX.

Scores are means over test images and seeds, with the standard deviation over seeds; differences are from the first
variant, with the 95% interval of `stats.interval`. Nothing in it is measured with a clock: times are in `times`.
"""

import csv
import io
import math

import numpy as np

from i2i_jax import metrics, stats
from i2i_jax.cost import short

COSTS = ('gen_parameters', 'gen_flops', 'parameters', 'step_flops', 'step_bytes')
DIGITS = {'psnr': 2, 'ssim': 4, 'l1': 4}


def rows(results: list[tuple], ratios: dict[str, float]) -> list[dict]:
  """A dict of numbers for each variant of which a run is done, the baseline first.

  Args:
    results: (variant, seed, folder, result) of each run that is done, as result.json has it.
    ratios: of each variant, the baseline first: its matched cost by the baseline's, or nan.
  """
  by_variant = {name: {seed: r for variant, seed, _, r in results if variant == name} for name in ratios}
  base = by_variant[next(iter(ratios))]
  out = []
  for name, runs in by_variant.items():
    if not runs:
      continue
    row = {'variant': name, 'seeds': len(runs)}
    for metric in metrics.NAMES:
      scores = np.array([runs[seed]['scores'][metric] for seed in sorted(runs)])
      row[f'{metric}_mean'], row[f'{metric}_sd'] = stats.spread(scores)
      both = sorted(runs.keys() & base.keys())
      if runs is base or not both:
        row |= dict.fromkeys((f'{metric}_diff', f'{metric}_low', f'{metric}_high'), math.nan)
        continue
      differences = np.subtract(*(np.array([r[seed]['scores'][metric] for seed in both]) for r in (runs, base)))
      row[f'{metric}_diff'], row[f'{metric}_low'], row[f'{metric}_high'] = stats.interval(differences)
    cost = runs[min(runs)]['cost']
    out.append(row | {'cost_ratio': ratios[name], **{name: cost[name] for name in COSTS}})
  return out


def times(results: list[tuple]) -> list[dict]:
  """What was measured with a clock: the median time of an update, and of a run's training. It differs each time."""
  names = dict.fromkeys(variant for variant, *_ in results)
  runs = {name: [r for variant, _, _, r in results if variant == name] for name in names}
  return [
    {
      'variant': name,
      'step_ms': round(1000 * median([r['cost'].get('step_seconds', math.nan) for r in rs]), 1),
      'run_seconds': round(float(np.median([r['seconds'] for r in rs])), 1),
    }
    for name, rs in runs.items()
  ]


def median(values: list[float]) -> float:
  """Of those that are known: a run that took one step has no time of a step."""
  known = [value for value in values if not math.isnan(value)]
  return float(np.median(known)) if known else math.nan


def as_csv(rows: list[dict]) -> str:
  """All numbers in full, an empty field where there is none."""
  out = io.StringIO()
  writer = csv.DictWriter(out, rows[0].keys(), lineterminator='\n')
  writer.writeheader()
  for row in rows:
    writer.writerow({k: '' if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()})
  return out.getvalue()


def read(file) -> list[dict]:
  """The rows that `as_csv` wrote into an open file: numbers, nan where there is none."""
  return [{k: v if k == 'variant' else float(v or 'nan') for k, v in row.items()} for row in csv.DictReader(file)]


def cells(rows: list[dict], metric: str) -> tuple[list[str], list[list[str]]]:
  """Heads and cells of the table that people read; `metric` comes first, and with its difference."""
  others = [name for name in metrics.NAMES if name != metric]
  matched = any(not math.isnan(row['cost_ratio']) for row in rows)
  heads = ['variant', 'seeds', head(metric), 'difference, 95% interval', *map(head, others)]
  heads += ['generator, parameters', 'FLOP an image', *(['cost matched'] if matched else [])]
  heads += ['update, FLOP', 'activations, B']
  lines = []
  for row in rows:
    line = [row['variant'], str(row['seeds']), score(row, metric), difference(row, metric)]
    line += [score(row, name) for name in others]
    line += [short(row['gen_parameters']), short(row['gen_flops'])]
    line += [f'{100 * row["cost_ratio"]:.1f}%'] if matched else []
    lines.append([*line, short(row['step_flops']), short(row['step_bytes'])])
  return heads, lines


def head(metric: str) -> str:
  arrow = '↓' if metric in metrics.LOWER_IS_BETTER else '↑'
  return f'{metric.upper()} {arrow}' + (', dB' if metric == 'psnr' else '')


def score(row: dict, metric: str) -> str:
  digits, deviation = DIGITS[metric], row[f'{metric}_sd']
  mean = f'{row[f"{metric}_mean"]:.{digits}f}'
  return mean if math.isnan(deviation) else f'{mean} ± {deviation:.{digits}f}'


def difference(row: dict, metric: str) -> str:
  """'+0.21 [0.05, 0.37] *': a star where the interval excludes zero."""
  mean, low, high = (row[f'{metric}_{name}'] for name in ('diff', 'low', 'high'))
  digits = DIGITS[metric]
  if math.isnan(mean):
    return ''
  if math.isnan(low):
    return f'{mean:+.{digits}f}'
  star = ' *' if low > 0 or high < 0 else ''
  return f'{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]{star}'


def as_markdown(rows: list[dict], metric: str) -> str:
  heads, lines = cells(rows, metric)
  rule = ['---', *['---:'] * (len(heads) - 1)]
  return '\n'.join(f'| {" | ".join(cell.strip() for cell in line)} |' for line in (heads, rule, *lines)) + '\n'


def as_latex(rows: list[dict], metric: str) -> str:
  """A tabular, without packages."""
  heads, lines = cells(rows, metric)
  signs = {'%': r'\%', '_': r'\_', '±': r'$\pm$', '↑': r'$\uparrow$', '↓': r'$\downarrow$', '&': r'\&', '#': r'\#'}

  def line(parts):
    return ' & '.join(''.join(signs.get(c, c) for c in part.strip()) for part in parts) + r' \\'

  body = ['\\hline', line(heads), '\\hline', *map(line, lines), '\\hline']
  return '\n'.join([f'\\begin{{tabular}}{{l{"r" * (len(heads) - 1)}}}', *body, '\\end{tabular}', ''])
