"""What methods are made of: State and Method, and the steps that they share."""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from ml_collections import ConfigDict

from i2i_jax import models, optim
from i2i_jax.errors import BadInput
from i2i_jax.layers import conv_forms
from i2i_jax.layers.remat import rematerialised
from i2i_jax.losses import regularisers
from i2i_jax.models.ugatit import clip_rho
from i2i_jax.runtime import compiling, memory
from i2i_jax.runtime.precision import storage_dtype


class State(flax.struct.PyTreeNode):
  """All that is sharded and checkpointed."""

  step: jax.Array
  params: dict[str, Any]  # by net: {'gen': ..., 'disc': ...}
  opt: dict[str, Any]  # the same keys
  extra: dict[str, Any]  # running statistics of batch norm, average of the weights; often {}


def output(y: jax.Array, out: dict) -> jax.Array:
  """What a net puts out, of that and its intermediates."""
  del out
  return y


class Translator(NamedTuple):
  """One direction of a trained method.

  `run(state, images, rng, want=output)` takes images [B, H, W, C] to images [B, H, W, C'], both in [-1, 1]; or to
  what `want` picks of the net's output and intermediates.
  """

  run: Callable
  net: str  # its name among Method.nets


class Method(NamedTuple):
  init: Callable  # (rng, batch) -> State
  train_step: Callable  # (state, batch, rng) -> (State, metrics: flat dict of scalars)
  translators: dict[str, Translator]  # by direction, 'ab' first
  nets: dict[str, tuple[nn.Module, int]]  # name -> (module, channels in)


def check_unpaired(config: ConfigDict) -> None:
  """Raises BadInput for a loss against a partner, of which a method without pairs has none."""
  for name in ('feature_matching', 'laplacian', 'ms_ssim', 'side_outputs'):
    if config.loss[name]:
      raise BadInput(f'config.loss.{name} = {config.loss[name]}: without pairs there is no target; set it to 0')


def runner(config: ConfigDict) -> Callable:
  """`run` in the precision that config.precision names, rematerialised if config.remat says so."""
  return functools.partial(run, precision=config.precision, remat=config.remat)


def run(
  net: nn.Module,
  params: dict,
  stats: dict,
  x: jax.Array,
  *,
  precision: str,
  remat: bool = False,
  rng: jax.Array | None = None,
  **switches: Any,
) -> tuple[Any, dict, dict]:
  """A net's output on x [B, H, W, C], its intermediates, and its running statistics after it.

  `rng` draws its dropout. In bfloat16 what goes in is rounded to it and what comes out is float32; the running
  statistics, and the vectors of spectral norm that are among them, are float32 throughout.
  """
  rngs = {} if rng is None else {'dropout': rng}
  params, x = jax.tree.map(lambda leaf: leaf.astype(precision), (params, x))
  variables = {'params': params, 'batch_stats': stats}
  with rematerialised(remat):
    made, changed = net.apply(variables, x, mutable=['batch_stats'], rngs=rngs, **switches)
  y, out = models.parts(net, made)
  y, out = jax.tree.map(lambda leaf: leaf.astype(storage_dtype(precision)), (y, out))
  return y, out, changed.get('batch_stats', {})


def run_each(
  run: Callable,
  net: nn.Module,
  params: dict,
  stats: dict,
  inputs: list,
  *,
  config: ConfigDict,
  rngs: Sequence = (None, None),
  **switches: Any,
) -> tuple[list, dict]:
  """[run(net, ..., x) for x in inputs], as one batch where the net treats samples apart.

  Args:
    run: what `runner` gives. config: the net's own. rngs: for each input, its dropout's.

  Returns:
    The list of (y, out), and the running statistics after the last.
  """
  apart = config.norm != 'batch' and not config.get('dropout') and not config.get('spectral_norm')
  if len(inputs) == 1 or not apart or conv_forms.is_plain():
    results = []
    for x, rng in zip(inputs, rngs, strict=False):
      y, out, stats = run(net, params, stats, x, rng=rng, **switches)
      results.append((y, out))
    return results, stats
  # One of each in turn, so that a batch that is split over devices stays where it is.
  batch = jnp.stack(inputs, axis=1).reshape(-1, *inputs[0].shape[1:])
  y, out, stats = run(net, params, stats, batch, rng=rngs[0], **switches)
  parts = (slice(i, None, len(inputs)) for i in range(len(inputs)))
  return [jax.tree.map(operator.itemgetter(part), (y, out)) for part in parts], stats


def init_net(net: nn.Module, rng: jax.Array, x: jax.Array, target: jax.Array | None = None, **switches: Any) -> dict:
  """A net's fresh variables, for images x [B, H, W, C].

  Raises:
    BadInput: it returns no (y, out), or its y has not the shape of `target` [B, H, W, C'], if one is given.
  """
  made, variables = net.init_with_output(rng, x, **switches)
  y, _ = models.parts(net, made)
  if target is not None and y.shape != target.shape:
    raise BadInput(
      f'the net {type(net).__name__} makes {list(y.shape[1:])} of images {list(x.shape[1:])}, and the target is '
      f'{list(target.shape[1:])}'
    )
  return variables


def init_state(
  variables: dict[str, dict], txs: dict, dtype: jax.typing.DTypeLike, config: ConfigDict, extra: dict | None = None
) -> State:
  """A State at step 0, its numbers of type `dtype` (see storage_dtype).

  Args:
    variables: {'gen': {'params': ..., 'batch_stats': ...}, ...}, each freshly initialised; statistics may be absent.
    extra: what else the method keeps, next to the running statistics and, if asked for, the average of the weights.
  """
  variables = jax.tree.map(lambda x: x.astype(dtype), variables)
  params = {key: v['params'] for key, v in variables.items()}
  extra = {'batch_stats': {key: v.get('batch_stats', {}) for key, v in variables.items()}, **(extra or {})}
  state = State(jnp.zeros((), jnp.int32), params, {key: txs[key].init(params[key]) for key in params}, extra)
  return with_average(state) if config.ema else state


def with_average(state: State) -> State:
  """The average of the generator's weights as it begins: a copy, for no buffer can be given to the step twice."""
  return with_extra(state, ema=jax.tree.map(jnp.copy, state.params['gen']))


def init_sides(
  rng: jax.Array, batch: dict[str, jax.Array], gens: dict[str, nn.Module], disc: nn.Module
) -> dict[str, dict]:
  """`init_state`'s variables of nets for both directions: generators 'ab' and 'ba', discriminators 'a' and 'b'.

  `batch` is {'a': [B, H, W, C], 'b': [B, H, W, C']}, of which only shapes count.
  """
  rngs = dict(zip(('ab', 'ba', 'a', 'b'), jax.random.split(rng, 4), strict=True))
  x = {k: batch[k].astype(jnp.float32) for k in ('a', 'b')}
  variables = {
    'gen': {d: init_net(gens[d], rngs[d], x[d[0]], x[d[1]], dropout=False, running_stats=False) for d in gens},
    'disc': {k: init_net(disc, rngs[k], x[k], running_stats=False) for k in x},
  }
  # {'gen': {'ab': {'params': ...}}} to {'gen': {'params': {'ab': ...}}}
  return {
    key: {kind: {name: v.get(kind, {}) for name, v in group.items()} for kind in ('params', 'batch_stats')}
    for key, group in variables.items()
  }


def init_on_devices(
  method: Method, config: ConfigDict, rng: jax.Array, batch: dict[str, jax.Array], sharding: Any = None
) -> State:
  """method.init, compiled, under `sharding`: the weights first, then the optimizers' zeros.

  As one program it would hold the room for both while the weights are drawn, which takes half as much again.
  """

  def part(pick):
    return compiling.jit_once(lambda rng, batch: pick(method.init(rng, batch)), out_shardings=sharding)(rng, batch)

  def rest(state):
    return state.replace(params={}, extra={name: x for name, x in state.extra.items() if name != 'ema'})

  params = jax.block_until_ready(part(lambda state: state.params))
  state = jax.block_until_ready(part(rest)).replace(params=params)
  memory.give_back()
  return with_average(state) if config.ema else state


def with_extra(state: State, **changes: Any) -> State:
  return state.replace(extra={**state.extra, **changes})


def with_stats(state: State, net: str, stats: dict) -> State:
  """The state with new running statistics of one net's norms."""
  return with_extra(state, batch_stats={**state.extra['batch_stats'], net: stats})


def weights(state: State) -> State:
  """A State without its optimizers: all nets, for another run to begin with or to be exported."""
  return state.replace(opt={})


def generators(state: State, weights: str = 'ema') -> State:
  """A State with what translates alone: the weights' average where there is one, unless `weights` is 'last'."""
  stats = {'gen': state.extra['batch_stats']['gen']}
  if 'ema' in state.extra and weights == 'ema':
    return state.replace(params={}, opt={}, extra={'batch_stats': stats, 'ema': state.extra['ema']})
  return state.replace(params={'gen': state.params['gen']}, opt={}, extra={'batch_stats': stats})


def translating(state: State) -> dict:
  """The generator's weights that translate: their average, where the State has one."""
  return state.extra['ema'] if 'ema' in state.extra else state.params['gen']


def finish_step(state: State, config: ConfigDict) -> State:
  """Counts the step and moves the average of the generator's weights, if there is one."""
  if config.ema:
    state = with_extra(state, ema=optim.ema(state.extra['ema'], state.params['gen'], config.ema))
  return state.replace(step=state.step + 1)


def translate_each(
  net: nn.Module,
  params: dict,
  stats: dict,
  images: jax.Array,
  rng: jax.Array,
  config: ConfigDict,
  want: Callable = output,
) -> jax.Array:
  """Each image by itself, as config.test says: 'batch' statistics are then an image's own, as in the papers.

  `want` picks from a net's output and intermediates.
  """
  run, running = runner(config), config.test.batch_stats == 'running'

  def one(image, rng):
    y, out, _ = run(net, params, stats, image[None], rng=rng, dropout=config.test.dropout, running_stats=running)
    return jax.tree.map(lambda leaf: leaf[0], want(y, out))

  return jax.vmap(one)(images, jax.random.split(rng, len(images)))


def repeated(
  config: ConfigDict, net: str, step: Callable, state: State, metrics: dict, rng: jax.Array
) -> tuple[State, dict]:
  """Updates `net` ('gen' or 'disc') again while it is the weaker side, config.optim.repeat times at most.

  Args:
    step: (state, rng=...) -> (state, metrics), an update. state, metrics: after the step's first one.

  Returns:
    The state, and the metrics of the last update with 'repeats/NET', how many there were.
  """
  if not config.optim.repeat:
    return state, metrics
  first = state.opt[net]

  def strong(tree):  # types, as a loop's values must have: a number of Python's is weakly typed
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, jnp.result_type(x)), tree)

  def weak(carry):
    count, _, metrics = carry
    return (count < config.optim.repeat) & regularisers.is_weak(config, net, metrics)

  def again(carry):
    count, state, _ = carry
    state, metrics = step(state, rng=jax.random.fold_in(rng, count))
    return count + 1, strong(state), strong(metrics)

  count, state, metrics = jax.lax.while_loop(weak, again, (jnp.zeros((), jnp.int32), strong(state), strong(metrics)))
  state = state.replace(opt={**state.opt, net: optim.with_rate_of(state.opt[net], first)})
  return state, metrics | {f'repeats/{net}': count.astype(jnp.float32)}


def norm_of(tree: Any) -> jax.Array:
  """Of all numbers together, by products that a library has: reductions of each array would compile for seconds."""
  squares = [jnp.vdot(x, x, precision='highest') for x in jax.tree.leaves(tree)]
  return jnp.sqrt(sum(squares)).astype(jnp.float32)


def gradient_norms(config: ConfigDict, net: str, grads: dict, step: jax.Array) -> dict[str, jax.Array]:
  """'grad/NET': the norm of all of a net's gradients, at each config.health_every-th step; 0 at the steps between.

  Only then, since to read all gradients once more takes some percent of a step.
  """
  if not config.health_every:
    return {}
  groups = grads if grads.keys() in ({'ab', 'ba'}, {'a', 'b'}) else {'': grads}
  names = {part: f'grad/{net}_{part}' if part else f'grad/{net}' for part in groups}
  due = (step + 1) % config.health_every == 0
  norms = jax.lax.cond(
    due,
    lambda: {part: norm_of(group) for part, group in groups.items()},
    lambda: {part: jnp.zeros((), jnp.float32) for part in groups},
  )
  return {names[part]: norm for part, norm in norms.items()}


def apply_grads(
  state: State, txs: dict[str, optax.GradientTransformation], key: str, grads: dict, turn: jax.Array | None = None
) -> State:
  """One optimizer step on params[key]; where `turn`, a boolean array, is false, none (see optim.select).

  The rho of U-GAT-IT's norms, in whichever net, stays in [0, 1].
  """
  updates, opt = txs[key].update(grads, state.opt[key], state.params[key])
  params = clip_rho(optax.apply_updates(state.params[key], updates))
  if turn is not None:
    params, opt = (optim.select(turn, *pair) for pair in ((params, state.params[key]), (opt, state.opt[key])))
  return state.replace(params={**state.params, key: params}, opt={**state.opt, key: opt})


def update(
  state: State,
  txs: dict[str, optax.GradientTransformation],
  key: str,
  loss_fn: Callable,
  turn: Callable = lambda aux: None,
) -> tuple[State, Any, dict]:
  """One gradient step on params[key]; loss_fn(params) -> (loss, aux). Returns (state, aux, gradients).

  `turn(aux)` is None, or a boolean array: where that is false nothing moves but what the learning rate counts.
  """
  grads, aux = jax.grad(loss_fn, has_aux=True)(state.params[key])
  return apply_grads(state, txs, key, grads, turn(aux)), aux, grads
