"""U-GAT-IT: unpaired translation led by class activation maps.

Kim et al., U-GAT-IT, ICLR 2020; UGATIT.py of znxlwm/UGATIT-pytorch.

Generator `ab` makes fake_b of a, `ba` makes fake_a of b; discriminators `b` tell b from fake_b, `a` a from fake_a, on
the whole of their losses and without a pool. They are updated first; the generators then make their fakes anew and
are judged by them. Both generators share one Adam, all discriminators another. `params` is {'gen': {'ab', 'ba'},
'disc': {'a', 'b'}}.
"""

import functools

import jax
from ml_collections import ConfigDict

from i2i_jax import models, optim
from i2i_jax.errors import BadInput, choice
from i2i_jax.losses import ada, objectives, regularisers
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
  runner,
  translate_each,
  translating,
  update,
  with_extra,
  with_stats,
)
from i2i_jax.runtime.precision import storage_dtype


def create(config: ConfigDict, steps_per_epoch: int) -> Method:
  gan = objectives.gan(config.loss.gan)
  if gan is None or config.loss.gan == 'wgan-gp':
    raise BadInput(f'config.loss.gan = {config.loss.gan!r}: ugatit takes lsgan (its own), vanilla or hinge')
  if {config.gen.name, config.disc.name} != {'ugatit'}:
    raise BadInput("config.gen.name and config.disc.name: the method ugatit trains the nets 'ugatit'")
  channels = {'a': config.data.channels_a, 'b': config.data.channels_b}
  if channels['a'] != channels['b']:
    raise BadInput('config.data: ugatit takes targets through its generators, for which a and b need equal channels')
  choice('config.order', config.order, ('paper', 'disc_first'))
  check_unpaired(config)
  regularisers.check(config)
  dtype, run = storage_dtype(config.precision), runner(config)

  gen, disc = models.build(config.gen, channels['b'], where='gen'), models.build(config.disc, 1, where='disc')
  nets = {f'gen_{d}': (gen, channels[d[0]]) for d in ('ab', 'ba')} | {f'disc_{x}': (disc, channels[x]) for x in 'ab'}
  rate = optim.schedule(config.optim, config.steps, steps_per_epoch)
  txs = {'gen': optim.generators(config, rate), 'disc': optim.discriminators(config, rate)}

  def init(rng, batch):
    """A fresh State; `batch` is {'a': [B, H, W, C], 'b': [B, H, W, C]}, of which only shapes count."""
    variables = init_sides(rng, batch, {'ab': gen, 'ba': gen}, disc)
    return init_state(variables, txs, dtype, config, ada.fresh(config, 'disc_a', 'disc_b'))

  def generate(params, x):
    """A generator's image, and its classifiers' logits. It has no running statistics."""
    y, out, _ = run(gen, params, {}, x, dropout=False, running_stats=False)
    return y, out['cam']

  def judge(state, which, params, stats, x, rng):
    x = ada.seen([x], config, rng, state.extra, f'disc_{which}')
    return run(disc, params, stats, x, running_stats=False)

  def disc_step(state, reals, fakes, rng):
    """One update of all discriminators."""

    def loss_fn(params):
      stats, metrics = dict(state.extra['batch_stats']['disc']), {}
      for i, which in enumerate(reals):
        key = jax.random.fold_in(rng, i)
        real_rng, fake_rng = jax.random.split(jax.random.fold_in(key, 1))
        real, _, stats[which] = judge(state, which, params[which], stats[which], reals[which], real_rng)
        fake, _, stats[which] = judge(state, which, params[which], stats[which], fakes[which], fake_rng)
        fixed = functools.partial(judge, state, which, params[which], stats[which], rng=real_rng)
        penalty, more = regularisers.penalties(
          config, lambda x, fixed=fixed: fixed(x)[0], reals[which], fakes[which], key, state.step
        )
        more |= regularisers.readings(config, real, fake)
        metrics |= {f'{name}_{which}': value for name, value in more.items()}
        metrics[f'loss/disc_{which}'] = config.loss.gan_weight * gan.disc(real, fake) + penalty
      return metrics['loss/disc_a'] + metrics['loss/disc_b'], (stats, metrics)

    def turn(aux):
      return regularisers.is_turn(config, 'disc', state.step, [aux[1].get(f'disc/accuracy_{x}') for x in reals])

    state, (stats, metrics), grads = update(state, txs, 'disc', loss_fn, turn)
    return with_stats(state, 'disc', stats), metrics | gradient_norms(config, 'disc', grads, state.step)

  def gen_step(state, reals, rng):
    """One update of both generators."""
    judges = state.params['disc']

    def loss_fn(params):
      stats, parts, fools = dict(state.extra['batch_stats']['disc']), {}, {}
      weights = {'a': config.loss.cycle_a, 'b': config.loss.cycle_b}
      for direction, source, target in (('ab', 'a', 'b'), ('ba', 'b', 'a')):
        fake, of_source = generate(params[direction], reals[source])
        same, of_target = generate(params[direction], reals[target])
        cycle, _ = generate(params[target + source], fake)
        key = jax.random.fold_in(rng, target == 'b')
        logits, _, stats[target] = judge(state, target, judges[target], stats[target], fake, key)
        parts[f'loss/gan_{direction}'] = config.loss.gan_weight * gan.gen(logits)
        fools |= regularisers.fooled(config, logits, f'_{target}')
        parts[f'loss/cycle_{source}'] = weights[source] * l1(cycle, reals[source])
        parts[f'loss/identity_{target}'] = config.loss.identity * weights[target] * l1(same, reals[target])
        parts[f'loss/cam_{direction}'] = config.loss.cam * objectives.cam(of_source, of_target)
      loss = sum(parts.values())
      return loss, (stats, parts | fools | {'loss/gen': loss})

    def turn(_):
      return regularisers.is_turn(config, 'gen', state.step)

    state, (stats, metrics), grads = update(state, txs, 'gen', loss_fn, turn)
    return with_stats(state, 'disc', stats), metrics | gradient_norms(config, 'gen', grads, state.step)

  def train_step(state, batch, rng):
    """One update of all nets."""
    disc_rng, gen_rng = jax.random.split(rng)
    reals = {k: batch[k].astype(dtype) for k in ('a', 'b')}
    fakes = {d[1]: generate(state.params['gen'][d], reals[d[0]])[0] for d in ('ab', 'ba')}
    metrics = {'lr': rate(state.step)}
    judged = functools.partial(disc_step, reals=reals, fakes=fakes)
    made = functools.partial(gen_step, reals=reals)
    state, disc_metrics = repeated(config, 'disc', judged, *judged(state, rng=disc_rng), disc_rng)
    state, gen_metrics = repeated(config, 'gen', made, *made(state, rng=gen_rng), gen_rng)
    kept, logged = ada.adjusted(state.extra, config, disc_metrics, state.step)
    return finish_step(with_extra(state, **kept), config), metrics | gen_metrics | disc_metrics | logged

  def translator(direction):
    """fake_b of images a ('ab'), or fake_a of images b ('ba')."""

    def translate(state, images, rng, want=output):
      params, stats = translating(state)[direction], {}
      return translate_each(gen, params, stats, images, rng, config, want)

    return Translator(translate, f'gen_{direction}')

  return Method(init, train_step, {d: translator(d) for d in ('ab', 'ba')}, nets)
