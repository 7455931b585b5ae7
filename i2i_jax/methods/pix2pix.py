"""pix2pix: a conditional GAN and an L1 loss on aligned pairs.

Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017;
models/pix2pix_model.py of pytorch-CycleGAN-and-pix2pix.

One generator forward is shared by both updates. The discriminator is updated first, on half of its loss; the
generator is then judged by the updated discriminator. With `config.loss.gan = 'none'` there is no discriminator
and what is left is regression: the baseline that every ablation needs.
"""

import jax
import jax.numpy as jnp

from i2i_jax import losses, models, optim
from i2i_jax.config import BadInput
from i2i_jax.methods import (
  Method,
  apply_grads,
  finish_step,
  init_state,
  run,
  translate_each,
  update,
  with_extra,
)
from i2i_jax.models import attention


def create(config, steps_per_epoch: int) -> Method:
  gan = losses.gan(config.loss.gan)
  adversarial = gan is not None
  dtype = jnp.dtype(config.precision)

  channels_a, channels_b = config.data.channels_a, config.data.channels_b
  rate = optim.schedule(config.optim, config.steps, steps_per_epoch)
  gen = models.build(config.gen, channels_b, where='gen')
  with_cam = config.loss.get('cam', 0.0) > 0 and attention.has_cam(gen)
  if with_cam and channels_a != channels_b:
    raise BadInput(
      'config.loss.cam: it takes targets through the generator too, for which a and b need equal channels'
    )
  nets, txs = {'gen': (gen, channels_a)}, {'gen': optim.adam(config.optim, rate)}
  if adversarial:
    disc = models.build(config.disc, 1, where='disc')
    nets['disc'] = (disc, channels_a + channels_b)
    txs['disc'] = optim.adam(config.optim, lambda step: rate(step) * config.optim.disc_lr_ratio)

  def judge(params, stats, a, b):
    """Logits of the pair (a, b), and the updated running statistics."""
    logits, _, stats = run(disc, params, stats, jnp.concatenate([a, b], axis=-1), running_stats=False)
    return logits, stats

  def init(rng, batch):
    """A fresh State; `batch` is {'a': [B, H, W, C], 'b': [B, H, W, C']}, of which only shapes count."""
    gen_rng, disc_rng = jax.random.split(rng)
    a, b = batch['a'].astype(jnp.float32), batch['b'].astype(jnp.float32)
    variables = {'gen': gen.init(gen_rng, a, dropout=False, running_stats=False)}
    if adversarial:
      variables['disc'] = disc.init(disc_rng, jnp.concatenate([a, b], axis=-1), running_stats=False)
    return init_state(variables, txs, dtype, config)

  def disc_step(state, a, b, fake_b, rng):
    def loss_fn(params):
      fake_logits, stats = judge(params, state.extra['batch_stats']['disc'], a, fake_b)
      real_logits, stats = judge(params, stats, a, b)
      loss = 0.5 * gan.disc(real_logits, fake_logits)
      metrics = {'disc/real': losses.mean_logit(real_logits), 'disc/fake': losses.mean_logit(fake_logits)}
      if config.loss.gan == 'wgan-gp':
        penalty = losses.gradient_penalty(
          lambda ab: run(disc, params, stats, ab, running_stats=False)[0],
          jnp.concatenate([a, b], axis=-1),
          jnp.concatenate([a, fake_b], axis=-1),
          rng,
        )
        loss += config.loss.gradient_penalty * penalty
        metrics['loss/gradient_penalty'] = penalty
      return loss, (stats, metrics | {'loss/disc': loss})

    state, (stats, metrics) = update(state, txs, 'disc', loss_fn)
    return with_stats(state, 'disc', stats), metrics

  def train_step(state, batch, rng):
    """One update of both nets."""
    a, b = batch['a'].astype(dtype), batch['b'].astype(dtype)
    dropout_rng, penalty_rng = jax.random.split(rng)
    metrics = {'lr': rate(state.step)}

    def generate(params):
      stats = state.extra['batch_stats']['gen']
      y, out, stats = run(gen, params, stats, a, rng=dropout_rng, dropout=True, running_stats=False)
      if not with_cam:
        return (y, ()), stats
      _, of_b, stats = run(gen, params, stats, b, rng=dropout_rng, dropout=True, running_stats=False)
      return (y, (out['cam'], of_b['cam'])), stats

    made, pull_back, stats = jax.vjp(generate, state.params['gen'], has_aux=True)
    fake_b = made[0]
    state = with_stats(state, 'gen', stats)
    if adversarial:
      state, disc_metrics = disc_step(state, a, b, fake_b, penalty_rng)
      metrics |= disc_metrics

    def gen_loss(made):
      fake_b, cams = made
      l1 = losses.l1(fake_b, b)
      loss, stats, aux = config.loss.l1 * l1, {}, {'loss/l1': l1}
      if adversarial:
        logits, stats = judge(state.params['disc'], state.extra['batch_stats']['disc'], a, fake_b)
        aux['loss/gan'] = gan.gen(logits)
        loss += config.loss.gan_weight * aux['loss/gan']
      if with_cam:
        aux['loss/cam'] = losses.cam(*cams)
        loss += config.loss.cam * aux['loss/cam']
      return loss, (stats, aux | {'loss/gen': loss})

    grad, (stats, aux) = jax.grad(gen_loss, has_aux=True)(made)
    if adversarial:
      state = with_stats(state, 'disc', stats)
    state = apply_grads(state, txs, 'gen', pull_back(grad)[0])
    return finish_step(state, config), metrics | aux

  def translate(state, images, rng, direction='ab'):
    """fake_b for images a."""
    del direction  # there is only one
    params = state.extra['ema'] if config.ema else state.params['gen']
    return translate_each(gen, params, state.extra['batch_stats']['gen'], images, rng, config)

  return Method(init, train_step, translate, nets)


def with_stats(state, net, stats):
  """The state with new running statistics of one net's batch norms."""
  return with_extra(state, batch_stats={**state.extra['batch_stats'], net: stats})
