"""Metrics at work: compiled, over sharded batches, each net's features computed once for each set of images."""

import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from i2i_jax.errors import BadInput
from i2i_jax.evaluation import features, metrics
from i2i_jax.inference.predictor import BATCH, Program
from i2i_jax.methods.base import Translator
from i2i_jax.runtime import mesh


class Measure(NamedTuple):
  """Functions on the host's arrays, images [N, H, W, C] in [-1, 1]; `make` makes one."""

  pairs: Callable  # (images, targets) -> {metric: [N]}, of metrics that have a value for one image
  features: Callable  # (images) -> {features: [N, ...]}, that whole sets are compared by
  sets: Callable  # (features of outputs, of targets) -> ({metric: float}, {metric: deviation})


def make(
  names: Iterable[str],
  weights: dict[str, features.Weights] | None = None,
  filter: str = 'clean',
  shardings: mesh.Shardings | None = None,
  batch: int = BATCH,
) -> Measure:
  """Of the metrics in `names`; `weights` of the nets that they need (`features.load`)."""
  entries = {name: metrics.METRICS[name] for name in names}
  images = {name: metric for name, metric in entries.items() if not metric.whole_set}
  sets = {name: metric for name, metric in entries.items() if metric.whole_set}
  arrays = {net: of.arrays for net, of in (weights or {}).items()}
  shardings = shardings or mesh.make('data=1')

  def look(of: str, weights: dict, x: jax.Array) -> Any:
    return features.function(of, filter)(weights.get(of.partition('.')[0]), x) if of else x

  def score(weights: dict, both: jax.Array, rng: jax.Array) -> dict:
    count, scores = len(both), dict[str, jax.Array]()
    # Outputs and targets go through a net as one batch: one program, half as large.
    joined = jnp.concatenate([both[:, 0], both[:, 1]])
    for of in {metric.of: None for metric in images.values()}:
      seen = look(of, weights, joined)
      fake, real = (jax.tree.map(operator.itemgetter(side), seen) for side in (slice(count), slice(count, None)))
      scores |= {name: m.function(fake, real) for name, m in images.items() if m.of == of and m.function}
    for name, values in scores.items():
      if (shape := jnp.shape(values)) != (count,):
        raise BadInput(f'metric {name}: it gives {list(shape)} of {count} images; it must give a number each')
    return scores

  def extract(weights: dict, x: jax.Array, rng: jax.Array) -> dict:
    return {of: look(of, weights, x) for of in {metric.of: None for metric in sets.values()}}

  programs = {f: Program(Translator(f, ''), shardings, 0, batch) for f in (score, extract)}

  def pairs(fake: np.ndarray, real: np.ndarray) -> dict[str, np.ndarray]:
    return programs[score](arrays, np.stack([clipped(fake), clipped(real)], 1)) if images else {}

  def extracted(x: np.ndarray) -> dict[str, np.ndarray]:
    return programs[extract](arrays, clipped(x)) if sets else {}

  def compare(fake: dict, real: dict) -> tuple[dict, dict]:
    values, deviations = {}, {}
    for name, metric in sets.items():
      assert metric.function
      value = metric.function(fake[metric.of], real[metric.of])
      values[name] = value[0] if isinstance(value, tuple) else value
      if isinstance(value, tuple):
        deviations[name] = value[1]
    return values, deviations

  return Measure(pairs, extracted, compare)


def clipped(images: np.ndarray) -> np.ndarray:
  """As a file of them would be."""
  return np.clip(images, -1, 1).astype(np.float32)
