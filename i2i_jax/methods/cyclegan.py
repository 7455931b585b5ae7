"""CycleGAN: two generators and two discriminators that learn from images without pairs.

Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, ICCV 2017;
models/cycle_gan_model.py of pytorch-CycleGAN-and-pix2pix.

Generator `ab` makes fake_b of a, `ba` makes fake_a of b; discriminator `b` tells b from fake_b, `a` a from fake_a.
Both generators are updated first, by one Adam; then both discriminators, by another, on half of their losses and on
fakes from a pool. `params` is {'gen': {'ab', 'ba'}, 'disc': {'a', 'b'}}.
"""

import functools
import itertools

import jax
from ml_collections import ConfigDict

from i2i_jax import models, optim
from i2i_jax.errors import BadInput, choice
from i2i_jax.layers import attention
from i2i_jax.losses import ada, image_pool, objectives, regularisers
from i2i_jax.losses.reconstruction import l1
from i2i_jax.methods.base import (
  Method,
  Translator,
  check_unpaired,
  finish_step,
  gradient_norms,
  init_sides,
  init_state,
  output,
  repeated,
  run_each,
  runner,
  translate_each,
  translating,
  update,
  with_extra,
)
from i2i_jax.runtime.precision import storage_dtype


def create(config: ConfigDict, steps_per_epoch: int) -> Method:
  gan = objectives.gan(config.loss.gan)
  if gan is None:
    raise BadInput("config.loss.gan = 'none': CycleGAN has nothing to learn from without an objective, like lsgan")
  channels = {'a': config.data.channels_a, 'b': config.data.channels_b}
  gens = {d: models.build(config.gen, channels[d[1]], where='gen') for d in ('ab', 'ba')}
  with_cam = config.loss.get('cam', 0.0) > 0 and attention.has_cam(gens['ab'])
  if with_cam and channels['a'] != channels['b']:
    raise BadInput(
      'config.loss.cam: it takes targets through the generator too, for which a and b need equal channels'
    )
  if config.loss.identity and channels['a'] != channels['b']:
    raise BadInput('config.loss.identity: an identity loss needs a and b of equal channels; set it to 0')
  choice('config.order', config.order, ('paper', 'gen_first'))
  check_unpaired(config)
  if config.grow and config.pool:
    raise BadInput(f'config.pool = {config.pool}: a pool holds images of one size, and config.grow changes it; set 0')
  regularisers.check(config)
  dtype, run = storage_dtype(config.precision), runner(config)

  disc = models.build(config.disc, 1, where='disc')
  nets = {f'gen_{d}': (gens[d], channels[d[0]]) for d in gens} | {f'disc_{x}': (disc, channels[x]) for x in channels}
  rate = optim.schedule(config.optim, config.steps, steps_per_epoch)
  txs = {
    'gen': optim.generators(config, rate),
    'disc': optim.discriminators(config, rate),
  }

  def init(rng, batch):
    """A fresh State; `batch` is {'a': [B, H, W, C], 'b': [B, H, W, C']}, of which only shapes count."""
    variables = init_sides(rng, batch, gens, disc)
    pools = {k: image_pool.init(config.pool, batch[k].shape[1:], dtype) for k in 'ab'} if config.pool else {}
    return init_state(variables, txs, dtype, config, {'pool': pools} | ada.fresh(config, 'disc_a', 'disc_b'))

  def gen_step(state, a, b, rng):
    """One update of both generators. Returns the state, the fakes and the metrics."""
    fixed = state.params['disc']

    def loss_fn(params):
      stats = jax.tree.map(lambda x: x, state.extra['batch_stats'])  # a copy, to be rebound call by call
      count, cams, fools = itertools.count(), {'ab': [], 'ba': []}, {}

      def translate(direction, *inputs):
        rngs = [jax.random.fold_in(rng, next(count)) for _ in inputs]
        results, stats['gen'][direction] = run_each(
          run,
          gens[direction],
          params[direction],
          stats['gen'][direction],
          inputs,
          config=config.gen,
          rngs=rngs,
          dropout=True,
          running_stats=False,
        )
        cams[direction] += [out.get('cam') for _, out in results]
        return [y for y, _ in results]

      def fool(which, x):
        x = ada.seen([x], config, jax.random.fold_in(rng, next(count)), state.extra, f'disc_{which}')
        logits, _, stats['disc'][which] = run(disc, fixed[which], stats['disc'][which], x, running_stats=False)
        fools.update(regularisers.fooled(config, logits, f'_{which}'))
        return gan.gen(logits)

      identity = bool(config.loss.identity) or with_cam
      fake_b, *identity_b = translate('ab', a, *[b] * identity)
      fake_a, *identity_a = translate('ba', b, *[a] * identity)
      (cycle_a,), (cycle_b,) = translate('ba', fake_b), translate('ab', fake_a)
      parts = {
        'loss/gan_ab': config.loss.gan_weight * fool('b', fake_b),
        'loss/gan_ba': config.loss.gan_weight * fool('a', fake_a),
        'loss/cycle_a': config.loss.cycle_a * l1(cycle_a, a),
        'loss/cycle_b': config.loss.cycle_b * l1(cycle_b, b),
      }
      if identity:
        weight = config.loss.identity
        parts['loss/identity_a'] = weight * config.loss.cycle_a * l1(identity_a[0], a)
        parts['loss/identity_b'] = weight * config.loss.cycle_b * l1(identity_b[0], b)
      if with_cam:  # of a direction's calls the first is on its source, the second on its target
        parts |= {f'loss/cam_{d}': config.loss.cam * objectives.cam(*cams[d][:2]) for d in cams}
      loss = sum(parts.values())
      return loss, (stats, {'a': fake_a, 'b': fake_b}, parts | fools | {'loss/gen': loss})

    def turn(_):
      return regularisers.is_turn(config, 'gen', state.step)

    state, (stats, fakes, metrics), grads = update(state, txs, 'gen', loss_fn, turn)
    metrics |= gradient_norms(config, 'gen', grads, state.step)
    return with_extra(state, batch_stats=stats), fakes, metrics

  def disc_step(state, reals, fakes, rng):
    """One update of both discriminators, each on half its loss."""

    def loss_fn(params):
      stats, metrics = jax.tree.map(lambda x: x, state.extra['batch_stats']), {}

      def judge(which, inputs, rngs):
        inputs = [
          ada.seen([x], config, rng, state.extra, f'disc_{which}') for x, rng in zip(inputs, rngs, strict=True)
        ]
        results, after = run_each(
          run, disc, params[which], stats['disc'][which], inputs, config=config.disc, running_stats=False
        )
        return [logits for logits, _ in results], after

      for i, which in enumerate(reals):
        key = jax.random.fold_in(rng, i)
        rngs = jax.random.split(jax.random.fold_in(key, 1))
        logits, stats['disc'][which] = judge(which, [reals[which], fakes[which]], rngs)
        real_logits, fake_logits = logits
        penalty, more = regularisers.penalties(
          config,
          lambda x, which=which, rngs=rngs: judge(which, [x], rngs[:1])[0][0],
          reals[which],
          fakes[which],
          key,
          state.step,
        )
        more |= regularisers.readings(config, real_logits, fake_logits)
        metrics[f'loss/disc_{which}'] = 0.5 * gan.disc(real_logits, fake_logits) + penalty
        metrics |= {f'{name}_{which}': value for name, value in more.items()}
      return sum(metrics[f'loss/disc_{which}'] for which in reals), (stats, metrics)

    def turn(aux):
      return regularisers.is_turn(config, 'disc', state.step, [aux[1].get(f'disc/accuracy_{x}') for x in reals])

    state, (stats, metrics), grads = update(state, txs, 'disc', loss_fn, turn)
    return with_extra(state, batch_stats=stats), metrics | gradient_norms(config, 'disc', grads, state.step)

  def train_step(state, batch, rng):
    """One update of all four nets."""
    reals = {k: batch[k].astype(dtype) for k in ('a', 'b')}
    gen_rng, disc_rng, pool_rng = jax.random.split(rng, 3)
    metrics = {'lr': rate(state.step)}
    state, fakes, gen_metrics = gen_step(state, reals['a'], reals['b'], gen_rng)

    def gen_again(state, rng):
      state, _, metrics = gen_step(state, reals['a'], reals['b'], rng)
      return state, metrics

    state, gen_metrics = repeated(config, 'gen', gen_again, state, gen_metrics, gen_rng)

    pools = {}
    for i, (which, old) in enumerate(state.extra['pool'].items()):
      swap, slot = image_pool.draw(jax.random.fold_in(pool_rng, i), old, len(fakes[which]))
      pools[which], fakes[which] = image_pool.query(old, fakes[which], swap, slot)
    state = with_extra(state, pool=pools)

    judged = functools.partial(disc_step, reals=reals, fakes=fakes)
    state, disc_metrics = repeated(config, 'disc', judged, *judged(state, rng=disc_rng), disc_rng)
    kept, logged = ada.adjusted(state.extra, config, disc_metrics, state.step)
    return finish_step(with_extra(state, **kept), config), metrics | gen_metrics | disc_metrics | logged

  def translator(direction):
    """fake_b of images a ('ab'), or fake_a of images b ('ba')."""

    def translate(state, images, rng, want=output):
      params, stats = translating(state)[direction], state.extra['batch_stats']['gen'][direction]
      return translate_each(gens[direction], params, stats, images, rng, config, want)

    return Translator(translate, f'gen_{direction}')

  return Method(init, train_step, {d: translator(d) for d in ('ab', 'ba')}, nets)
