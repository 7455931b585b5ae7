"""Plots of a sweep, drawn with matplotlib: differences, quality against cost, curves of the validation split."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from i2i_jax.evaluation import metrics


def draw(
  folder: Path, rows: list[dict], times: list[dict], results: list[tuple], shown: Sequence[str]
) -> dict[str, Path]:
  """Writes the plots as PNG into `folder`; name -> path. None are drawn, and a line says so, without matplotlib.

  `shown`: the metrics; the plots are of the first, and a trade-off plot of it against each of the others.
  """
  metric, *others = (name for name in shown if f'{name}_mean' in rows[0])
  try:
    from matplotlib.figure import Figure
  except ModuleNotFoundError:
    print("no plots: they need matplotlib, pip install -e '.[experiments]'")
    return {}
  folder.mkdir(exist_ok=True)
  colours = {row['variant']: f'C{i % 10}' for i, row in enumerate(rows)}

  def save(name, figure):
    figure.savefig(folder / f'{name}.png', dpi=130)
    return folder / f'{name}.png'

  figure = Figure(figsize=(6.4, 0.9 + 0.36 * len(rows)), layout='constrained')
  draw_differences(figure.subplots(), rows, metric, colours)
  paths = {'differences': save('differences', figure)}

  figure = Figure(figsize=(11, 4), layout='constrained')
  seconds = {line['variant']: line['step_ms'] for line in times}
  sides = {
    'GFLOP an image (generator)': {row['variant']: row['gen_flops'] / 1e9 for row in rows},
    'GFLOP an update (all nets)': {row['variant']: row['step_flops'] / 1e9 for row in rows},
    'ms an update (measured)': seconds,
  }
  for axes, (label, costs) in zip(figure.subplots(1, 3, sharey=True), sides.items(), strict=True):
    draw_quality(axes, rows, costs, metric, colours)
    axes.set_xlabel(label)
  figure.axes[0].set_ylabel(f'{metrics.entry(metric).head}, mean and deviation over seeds')
  figure.axes[-1].legend(fontsize=7, loc='center left', bbox_to_anchor=(1, 0.5))
  paths['quality_and_cost'] = save('quality_and_cost', figure)

  if others:
    figure = Figure(figsize=(3.6 * len(others) + 1.2, 3.6), layout='constrained')
    for axes, other in zip(np.atleast_1d(figure.subplots(1, len(others))), others, strict=True):
      draw_trade_off(axes, rows, metric, other, colours)
    figure.axes[-1].legend(fontsize=7, loc='center left', bbox_to_anchor=(1, 0.5))
    paths['trade_off'] = save('trade_off', figure)

  figure = Figure(figsize=(8, 4.2), layout='constrained')
  draw_curves(figure.subplots(), results, metric, colours)
  return paths | {'curves': save('curves', figure)}


def draw_differences(axes: Axes, rows: list[dict], metric: str, colours: dict[str, str]) -> None:
  """The difference from the baseline and its interval, a line a variant."""
  shown = [row for row in rows if not np.isnan(row[f'{metric}_diff'])]
  for i, row in enumerate(shown):
    axes.plot([row[f'{metric}_low'], row[f'{metric}_high']], [i, i], color=colours[row['variant']])
    axes.plot(row[f'{metric}_diff'], i, 'o', color=colours[row['variant']])
  axes.axvline(0, color='0.5', linewidth=1)
  axes.set_yticks(range(len(shown)), [row['variant'] for row in shown])
  axes.invert_yaxis()
  axes.set_xlabel(f'{metrics.entry(metric).head}: difference from {rows[0]["variant"]}, 95% interval')


def draw_quality(axes: Axes, rows: list[dict], costs: dict, metric: str, colours: dict[str, str]) -> None:
  for row in rows:
    axes.errorbar(
      costs[row['variant']],
      row[f'{metric}_mean'],
      np.nan_to_num(row[f'{metric}_sd']),
      fmt='o',
      capsize=3,
      color=colours[row['variant']],
      label=row['variant'],
    )
  axes.set_xlim(0, 1.08 * np.nanmax([*costs.values(), 1e-9]))
  axes.locator_params(axis='x', nbins=5)
  axes.grid(alpha=0.3)


def draw_trade_off(axes: Axes, rows: list[dict], metric: str, other: str, colours: dict[str, str]) -> None:
  """One metric against another, variants joined in the order of the experiment: the perception-distortion plane.

  Blau and Michaeli, The Perception-Distortion Tradeoff, CVPR 2018.
  """
  axes.plot([row[f'{metric}_mean'] for row in rows], [row[f'{other}_mean'] for row in rows], color='0.75', zorder=0)
  for row in rows:
    axes.errorbar(
      row[f'{metric}_mean'],
      row[f'{other}_mean'],
      xerr=np.nan_to_num(row[f'{metric}_sd']),
      yerr=np.nan_to_num(row[f'{other}_sd']),
      fmt='o',
      capsize=2,
      color=colours[row['variant']],
      label=row['variant'],
    )
  axes.set_xlabel(metrics.entry(metric).head)
  axes.set_ylabel(metrics.entry(other).head)
  axes.grid(alpha=0.3)


def draw_curves(axes: Axes, results: list[tuple], metric: str, colours: dict[str, str]) -> None:
  """The mean over seeds of the validation score, and the range from the lowest to the highest."""
  for name, colour in colours.items():
    curves = [dict(map(tuple, r['curves'][f'val/{metric}'])) for variant, _, _, r in results if variant == name]
    steps = sorted(set.intersection(*map(set, curves)))
    values = np.array([[curve[step] for step in steps] for curve in curves])
    axes.plot(steps, values.mean(0), color=colour, label=name)
    axes.fill_between(steps, values.min(0), values.max(0), color=colour, alpha=0.12, linewidth=0)
  axes.set_xlabel('step')
  axes.set_ylabel(f'{metrics.entry(metric).head}, validation')
  if not metrics.entry(metric).lower_is_better and metrics.entry(metric).ideal is None:
    axes.set_ylim(
      bottom=np.quantile(
        [values[len(values) // 5] for values in (np.asarray(line.get_ydata()) for line in axes.lines)], 0.1
      )
    )
  axes.grid(alpha=0.3)
  axes.legend(fontsize=7, loc='center left', bbox_to_anchor=(1, 0.5))
