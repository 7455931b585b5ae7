"""From config to optimizer: the schedule of the learning rate, Adam and others, and the average of the weights."""

import inspect
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from i2i_jax.errors import BadInput, choice

SCHEDULES = ('linear', 'pix2pixhd', 'cosine', 'step', 'constant')


def schedule(config: ConfigDict, steps: int, epoch: int) -> optax.Schedule:
  """The learning rate as a function of the number of updates done.

  linear: constant up to `decay_from` (a share of all steps), then linear to zero: the reference's
    `1 - max(0, e + 1 - N) / (D + 1)` for N constant and D decaying epochs (get_scheduler in models/networks.py
    of pytorch-CycleGAN-and-pix2pix).
  pix2pixhd: the same but for `1 - max(0, e - N) / D`, pix2pixHD's: the first decaying epoch has the full rate, the
    last a D-th of it (update_learning_rate in models/pix2pixHD_model.py of NVIDIA/pix2pixHD).
  cosine: constant, then half a cosine to zero. step: constant, then a tenth of it at the beginning of each
    third of the rest.

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
    # Units since the decay's start; float64 where that is on, while integers divided give float32 there too.
    done = jnp.asarray(step // unit - constant, jnp.result_type(float))
    if kind == 'linear':
      factor = 1 - jnp.maximum(0, done + 1) / (decaying + 1)
    elif kind == 'pix2pixhd':
      factor = 1 - jnp.maximum(0, done) / decaying
    elif kind == 'cosine':
      factor = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(done / decaying, 0, 1)))
    elif kind == 'step':
      factor = 0.1 ** jnp.clip(jnp.floor(3 * done / decaying + 1), 0, 3)
    else:
      factor = 1.0
    return config.lr * jnp.maximum(factor, 0.0)

  return rate


def optimizer(config: ConfigDict, rate: optax.Schedule) -> optax.GradientTransformation:
  """The optimizer that config.optim.name names, after config.optim.clip.

  `adam` has optax's eps 1e-8 outside the root and its weight decay as a part of the gradient, as torch.optim.Adam.
  Others are optax's own of that name, with those of b1, b2 and weight_decay that they take.

  Raises:
    BadInput: there is no such optimizer, it needs more than gradients, or has no weight decay and is given one.
  """
  clip = [optax.clip_by_global_norm(config.clip)] if config.clip else []
  if config.name == 'adam':
    tx = adam(config, rate)
    decay = [optax.add_decayed_weights(config.weight_decay)] if config.weight_decay else []
    return optax.chain(*clip, *decay, tx) if clip or decay else tx
  functions = {name: f for name, f in vars(optax).items() if inspect.isfunction(f)}
  public = {name: f for name, f in functions.items() if not name.startswith(('_', 'scale_by'))}
  known = {name: f for name, f in public.items() if 'learning_rate' in inspect.signature(f).parameters}
  make = known[choice('config.optim.name', config.name, known)]
  taken = inspect.signature(make).parameters
  if config.weight_decay and 'weight_decay' not in taken:
    raise BadInput(f'config.optim.weight_decay = {config.weight_decay}: {config.name} has none; set it to 0')
  given = {name: config[name] for name in ('b1', 'b2', 'weight_decay') if name in taken}
  tx, one = make(rate, **given), {'w': jax.ShapeDtypeStruct((2, 2), jnp.float32)}
  try:
    jax.eval_shape(lambda g: tx.update(g, tx.init(g), g), one)
  except TypeError:
    raise BadInput(f'config.optim.name = {config.name}: it needs more than gradients; choose another') from None
  return optax.chain(*clip, tx)


def adam(config: ConfigDict, rate: optax.Schedule) -> optax.GradientTransformation:
  return optax.chain(scale_by_adam(config.b1, config.b2), optax.scale_by_learning_rate(rate))


def scale_by_adam(b1: float, b2: float, eps: float = 1e-8) -> optax.GradientTransformation:
  """optax.scale_by_adam, whose update is computed from the new moments alone.

  XLA computes it from the old ones once more, to save a pass over memory; but then those may not be overwritten by
  the new ones, and are copied first: on a CPU a tenth of pix2pix's time, and the room for a copy.
  """
  tx = optax.scale_by_adam(b1, b2, eps)

  def update(grads, state, params=None):
    _, new = tx.update(grads, state, params)
    moments = jax.tree.map(lambda mu, nu: jax.lax.optimization_barrier((mu, nu)), new.mu, new.nu)
    mu, nu = (jax.tree.map(lambda _, both, i=i: both[i], new.mu, moments) for i in (0, 1))
    means, squares = (optax.tree_utils.tree_bias_correction(m, b, new.count) for m, b in ((mu, b1), (nu, b2)))
    updates = jax.tree.map(lambda m, s: m / (jnp.sqrt(s) + eps), means, squares)
    return updates, new._replace(mu=mu, nu=nu)

  return optax.GradientTransformation(tx.init, update)


def select(condition: jax.Array, new: Any, old: Any) -> Any:
  """The optimizer's state or weights `new` where `condition` holds, else `old`; what the rate counts moves always.

  So the learning rate follows the run's steps, Adam's count the updates that were made.
  """

  def one(new, old):
    if isinstance(new, optax.ScaleByScheduleState):
      return new
    return jax.tree.map(lambda n, o: jnp.where(condition, n, o), new, old)

  return jax.tree.map(one, new, old, is_leaf=lambda x: isinstance(x, optax.ScaleByScheduleState))


def with_rate_of(new: Any, old: Any) -> Any:
  """The optimizer's state `new`, but its learning rate counts as in `old`: by steps, not by updates."""

  def is_count(x):
    return isinstance(x, optax.ScaleByScheduleState)

  return jax.tree.map(lambda n, o: o if is_count(n) else n, new, old, is_leaf=is_count)


def freeze(tx: optax.GradientTransformation, part: str, steps: int) -> optax.GradientTransformation:
  """`tx`, but what is under a key `part` of the nested weights stays as it is for the first `steps` updates.

  When the part is freed, the optimizer of all weights begins anew: update_fixed_params in models/pix2pixHD_model.py
  of NVIDIA/pix2pixHD makes a new Adam then. The learning rate keeps its count.
  """

  def split(tree):
    flat = flatten_dict(tree)
    inside = {path for path in flat if part in path}
    return {
      'frozen': unflatten_dict({path: x for path, x in flat.items() if path in inside}),
      'free': unflatten_dict({path: x for path, x in flat.items() if path not in inside}),
    }

  def init(params):
    return {'count': jnp.zeros((), jnp.int32)} | {name: tx.init(tree) for name, tree in split(params).items()}

  def update(grads, state, params=None):
    grads, params = split(grads), split(params)
    updates, new = {}, {'count': state['count'] + 1}
    begun = select(state['count'] != steps, state['free'], tx.init(params['free']))
    for name, old in (('frozen', state['frozen']), ('free', begun)):
      updates[name], new[name] = tx.update(grads[name], old, params[name])
    freed = state['count'] >= steps
    new['frozen'] = select(freed, new['frozen'], state['frozen'])
    updates['frozen'] = jax.tree.map(lambda u: jnp.where(freed, u, jnp.zeros_like(u)), updates['frozen'])
    return unflatten_dict(flatten_dict(updates['free']) | flatten_dict(updates['frozen'])), new

  return optax.GradientTransformation(init, update)


def generators(config: ConfigDict, rate: optax.Schedule) -> optax.GradientTransformation:
  """The generators' optimizer: with pix2pixHD's global net frozen at first, if it is to be."""
  tx = optimizer(config.optim, rate)
  steps = config.gen.get('freeze_global_steps', 0)
  if not steps:
    return tx
  if config.gen.name != 'pix2pixhd' or not config.gen.local:
    raise BadInput(
      f'config.gen.freeze_global_steps = {steps}: only pix2pixhd with config.gen.local above 0 has a global net '
      'to hold'
    )
  if steps >= config.steps:
    raise BadInput(
      f'config.gen.freeze_global_steps = {steps}: the global net would never learn in config.steps = {config.steps}; '
      'set it to a tenth of them'
    )
  return freeze(tx, 'coarse', steps)


def discriminators(config: ConfigDict, rate: optax.Schedule) -> optax.GradientTransformation:
  """The discriminators' optimizer, at their own share of the generators' rate."""
  return optimizer(config.optim, lambda step: rate(step) * config.optim.disc_lr_ratio)


def ema(average: dict, params: dict, decay: float) -> dict:
  """Moves `average` towards `params`: decay * average + (1 - decay) * params."""
  return jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, average, params)
