"""What a trained net has to beat: three predictions that need no net, fitted on training pairs.

copy:     the input as it is (as gray where the target is gray).
constant: the best constant colour, the mean of the training targets.
linear:   per-pixel linear regression from the 5x5 neighbourhood of the input, all channels, by least squares.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

RADIUS = 2
PIXELS = 4096  # of each batch, drawn at random, that the regression is fitted on


def fit(batches: Iterable[dict], channels_b: int, seed: int = 0) -> dict[str, Callable]:
  """Fits all three on batches {'a', 'b'}; each maps (a: [B, H, W, C], first) to [B, H, W, C'], in [-1, 1]."""
  rng = np.random.default_rng(seed)
  gram: Any = 0.0
  moment, total, count = 0.0, 0.0, 0
  for batch in batches:
    b = batch['b'].reshape(-1, channels_b).astype(np.float64)
    total, count = total + b.sum(0), count + len(b)
    kept = rng.permutation(len(b))[:PIXELS]
    x = neighbourhoods(batch['a'])[kept]
    gram, moment = gram + x.T @ x, moment + x.T @ b[kept]
  mean = total / count
  # A little ridge keeps the solution finite where the input's channels are equal or constant.
  weights = np.linalg.solve(gram + 1e-6 * np.trace(gram) / len(gram) * np.eye(len(gram)), moment)

  def copy(a: np.ndarray, first: int = 0) -> np.ndarray:
    gray = a.mean(-1, keepdims=True)
    return a if a.shape[-1] == channels_b else np.repeat(gray, channels_b, axis=-1)

  def constant(a: np.ndarray, first: int = 0) -> np.ndarray:
    return np.broadcast_to(mean, (*a.shape[:3], channels_b))

  def linear(a: np.ndarray, first: int = 0) -> np.ndarray:
    return np.clip(neighbourhoods(a) @ weights, -1, 1).reshape(*a.shape[:3], channels_b)

  return {'copy': copy, 'constant': constant, 'linear': linear}


def neighbourhoods(a: np.ndarray) -> np.ndarray:
  """[B, H, W, C] to [B H W, 25 C + 1]: each pixel's neighbourhood (edges repeated) and a one."""
  padded = np.pad(a, ((0, 0), (RADIUS, RADIUS), (RADIUS, RADIUS), (0, 0)), 'edge')
  windows = sliding_window_view(padded, (2 * RADIUS + 1,) * 2, axis=(1, 2))
  flat = windows.reshape(a.shape[0] * a.shape[1] * a.shape[2], -1).astype(np.float64)
  return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)
