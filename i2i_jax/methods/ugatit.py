"""U-GAT-IT: unpaired translation led by class activation maps.

Kim et al., U-GAT-IT, ICLR 2020; UGATIT.py of znxlwm/UGATIT-pytorch.

Generator `ab` makes fake_b of a, `ba` makes fake_a of b; discriminators `b` tell b from fake_b, `a` a from fake_a, on
the whole of their losses and without a pool. They are updated first; the generators then make their fakes anew and
are judged by them. Both generators share one Adam, all discriminators another. `params` is {'gen': {'ab', 'ba'},
'disc': {'a', 'b'}}.
"""

import jax
import jax.numpy as jnp
import optax

from i2i_jax import losses, models, optim
from i2i_jax.config import BadInput
from i2i_jax.methods import Method, finish_step, init_state, runner, storage, translate_each, update, with_extra
from i2i_jax.models.ugatit import clip_rho


def create(config, steps_per_epoch: int) -> Method:
  gan = losses.gan(config.loss.gan)
  if gan is None or config.loss.gan == 'wgan-gp':
    raise BadInput(f'config.loss.gan = {config.loss.gan!r}: ugatit takes lsgan (its own), vanilla or hinge')
  if {config.gen.name, config.disc.name} != {'ugatit'}:
    raise BadInput("config.gen.name and config.disc.name: the method ugatit trains the nets 'ugatit'")
  channels = {'a': config.data.channels_a, 'b': config.data.channels_b}
  if channels['a'] != channels['b']:
    raise BadInput('config.data: ugatit takes targets through its generators, for which a and b need equal channels')
  dtype, run = storage(config.precision), runner(config)

  gen, disc = models.build(config.gen, channels['b'], where='gen'), models.build(config.disc, 1, where='disc')
  nets = {f'gen_{d}': (gen, channels[d[0]]) for d in ('ab', 'ba')} | {f'disc_{x}': (disc, channels[x]) for x in 'ab'}
  rate = optim.schedule(config.optim, config.steps, steps_per_epoch)
  # Coupled L2, as torch.optim.Adam's weight_decay: a part of the gradient.
  decay = optax.add_decayed_weights(config.optim.weight_decay)
  txs = {
    'gen': optax.chain(decay, optim.adam(config.optim, rate)),
    'disc': optax.chain(decay, optim.adam(config.optim, lambda step: rate(step) * config.optim.disc_lr_ratio)),
  }

  def init(rng, batch):
    """A fresh State; `batch` is {'a': [B, H, W, C], 'b': [B, H, W, C]}, of which only shapes count."""
    rngs = dict(zip(('ab', 'ba', 'a', 'b'), jax.random.split(rng, 4), strict=True))
    x = {k: batch[k].astype(jnp.float32) for k in ('a', 'b')}
    variables = {
      'gen': {d: gen.init(rngs[d], x[d[0]], dropout=False, running_stats=False) for d in ('ab', 'ba')},
      'disc': {k: disc.init(rngs[k], x[k], running_stats=False) for k in x},
    }
    # {'gen': {'ab': {'params': ...}}} to {'gen': {'params': {'ab': ...}}}
    variables = {
      key: {kind: {name: v.get(kind, {}) for name, v in group.items()} for kind in ('params', 'batch_stats')}
      for key, group in variables.items()
    }
    return init_state(variables, txs, dtype, config)

  def generate(params, x):
    """A generator's image, and its classifiers' logits. It has no running statistics."""
    y, out, _ = run(gen, params, {}, x, dropout=False, running_stats=False)
    return y, out['cam']

  def disc_step(state, reals, fakes):
    """One update of all discriminators."""

    def loss_fn(params):
      stats, metrics = dict(state.extra['batch_stats']['disc']), {}
      for which in reals:
        real, _, stats[which] = run(disc, params[which], stats[which], reals[which], running_stats=False)
        fake, _, stats[which] = run(disc, params[which], stats[which], fakes[which], running_stats=False)
        metrics[f'loss/disc_{which}'] = config.loss.gan_weight * gan.disc(real, fake)
        metrics[f'disc/real_{which}'] = losses.mean_logit(real)
        metrics[f'disc/fake_{which}'] = losses.mean_logit(fake)
      return metrics['loss/disc_a'] + metrics['loss/disc_b'], (stats, metrics)

    state, (stats, metrics) = update(state, txs, 'disc', loss_fn)
    return with_extra(state, batch_stats={**state.extra['batch_stats'], 'disc': stats}), metrics

  def gen_step(state, reals):
    """One update of both generators."""
    judges = state.params['disc']

    def loss_fn(params):
      stats, parts = dict(state.extra['batch_stats']['disc']), {}
      weights = {'a': config.loss.cycle_a, 'b': config.loss.cycle_b}
      for direction, source, target in (('ab', 'a', 'b'), ('ba', 'b', 'a')):
        fake, of_source = generate(params[direction], reals[source])
        same, of_target = generate(params[direction], reals[target])
        cycle, _ = generate(params[target + source], fake)
        logits, _, stats[target] = run(disc, judges[target], stats[target], fake, running_stats=False)
        parts[f'loss/gan_{direction}'] = config.loss.gan_weight * gan.gen(logits)
        parts[f'loss/cycle_{source}'] = weights[source] * losses.l1(cycle, reals[source])
        parts[f'loss/identity_{target}'] = config.loss.identity * weights[target] * losses.l1(same, reals[target])
        parts[f'loss/cam_{direction}'] = config.loss.cam * losses.cam(of_source, of_target)
      loss = sum(parts.values())
      return loss, (stats, parts | {'loss/gen': loss})

    state, (stats, metrics) = update(state, txs, 'gen', loss_fn)
    state = state.replace(params={**state.params, 'gen': clip_rho(state.params['gen'])})
    return with_extra(state, batch_stats={**state.extra['batch_stats'], 'disc': stats}), metrics

  def train_step(state, batch, rng):
    """One update of all nets."""
    del rng  # nothing draws
    reals = {k: batch[k].astype(dtype) for k in ('a', 'b')}
    fakes = {d[1]: generate(state.params['gen'][d], reals[d[0]])[0] for d in ('ab', 'ba')}
    metrics = {'lr': rate(state.step)}
    state, disc_metrics = disc_step(state, reals, fakes)
    state, gen_metrics = gen_step(state, reals)
    return finish_step(state, config), metrics | gen_metrics | disc_metrics

  def translate(state, images, rng, direction='ab'):
    """fake_b of images a ('ab'), or fake_a of images b ('ba')."""
    params = (state.extra['ema'] if config.ema else state.params['gen'])[direction]
    return translate_each(gen, params, {}, images, rng, config)

  return Method(init, train_step, translate, nets, directions=('ab', 'ba'))
