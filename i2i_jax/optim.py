"""From config to optimizer: the schedule of the learning rate, Adam, and the average of the weights (EMA)."""

import math

import jax
import jax.numpy as jnp
import optax

from i2i_jax.config import choice

SCHEDULES = ('linear', 'cosine', 'step', 'constant')


def schedule(config, steps: int, epoch: int):
  """The learning rate as a function of the number of updates done.

  linear: constant up to `decay_from` (a share of all steps), then linear to zero: the reference's
    `1 - max(0, e + 1 - N) / (D + 1)` for N constant and D decaying epochs (get_scheduler in models/networks.py
    of pytorch-CycleGAN-and-pix2pix).
  cosine: constant, then half a cosine to zero. step: constant, then a tenth after each third of the rest.

  Args:
    config: config.optim. steps: in the whole run. epoch: steps in an epoch; with `per_epoch` the rate changes
      between epochs only, as in the reference; else at each step.
  """
  kind = choice('config.optim.schedule', config.schedule, SCHEDULES)
  unit = epoch if config.per_epoch else 1
  total = math.ceil(steps / unit)
  constant = round(config.decay_from * total)
  decaying = max(total - constant, 1)

  def rate(step):
    done = step // unit - constant  # units since the decay's start
    if kind == 'linear':
      factor = 1 - jnp.maximum(0, done + 1) / (decaying + 1)
    elif kind == 'cosine':
      factor = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(done / decaying, 0, 1)))
    elif kind == 'step':
      factor = 0.1 ** jnp.clip(jnp.floor(3 * done / decaying + 1), 0, 3)
    else:
      factor = 1.0
    return config.lr * jnp.maximum(factor, 0.0)

  return rate


def adam(config, rate) -> optax.GradientTransformation:
  """Adam with optax's eps 1e-8 outside the root, as torch.optim.Adam."""
  return optax.adam(rate, b1=config.b1, b2=config.b2)


def ema(average, params, decay: float):
  """Moves `average` towards `params`: decay * average + (1 - decay) * params."""
  return jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, average, params)
