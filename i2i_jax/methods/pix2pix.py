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
from i2i_jax.config import choice
from i2i_jax.methods import Method, apply_grads, init_state, update


def create(config, steps_per_epoch: int) -> Method:
  gan = losses.gan(config.loss.gan)
  adversarial = gan is not None
  dtype = jnp.dtype(config.precision)
  test_stats = choice('config.test.batch_stats', config.test.batch_stats, ('batch', 'running'))

  channels_a, channels_b = config.data.channels_a, config.data.channels_b
  nets = {'gen': (models.build(config.gen, channels_b, where='gen'), channels_a)}
  rate = optim.schedule(config.optim, config.steps, steps_per_epoch)
  txs = {'gen': optim.adam(config.optim, rate)}
  if adversarial:
    nets['disc'] = (models.build(config.disc, 1, where='disc'), channels_a + channels_b)
    txs['disc'] = optim.adam(config.optim, lambda step: rate(step) * config.optim.disc_lr_ratio)

  def run_gen(params, stats, a, rng, *, dropout=True, running_stats=False):
    """a to fake_b, and the updated running statistics."""
    variables = {'params': params, 'batch_stats': stats}
    (fake_b, _), changed = nets['gen'][0].apply(
      variables,
      a,
      dropout=dropout,
      running_stats=running_stats,
      rngs={'dropout': rng},
      mutable=['batch_stats'],
    )
    return fake_b, changed.get('batch_stats', {})

  def run_disc(params, stats, a, b):
    """Logits of the pair (a, b), and the updated running statistics."""
    (logits, _), changed = nets['disc'][0].apply(
      {'params': params, 'batch_stats': stats},
      jnp.concatenate([a, b], axis=-1),
      running_stats=False,
      mutable=['batch_stats'],
    )
    return logits, changed.get('batch_stats', {})

  def init(rng, batch):
    """A fresh State; `batch` is {'a': [B, H, W, C], 'b': [B, H, W, C']}, of which only shapes count."""
    gen_rng, disc_rng, dropout_rng = jax.random.split(rng, 3)
    a, b = batch['a'].astype(jnp.float32), batch['b'].astype(jnp.float32)
    variables = {
      'gen': nets['gen'][0].init({'params': gen_rng, 'dropout': dropout_rng}, a, dropout=False, running_stats=False)
    }
    if adversarial:
      ab = jnp.concatenate([a, b], axis=-1)
      variables['disc'] = nets['disc'][0].init(disc_rng, ab, running_stats=False)
    state = init_state(nets, variables, txs, dtype)
    if config.ema:
      # A copy: the step donates its state, and no buffer can be donated twice.
      state.extra['ema'] = jax.tree.map(jnp.copy, state.params['gen'])
    return state

  def disc_step(state, a, b, fake_b, rng):
    def loss_fn(params):
      fake_logits, stats = run_disc(params, state.extra['batch_stats']['disc'], a, fake_b)
      real_logits, stats = run_disc(params, stats, a, b)
      loss = 0.5 * gan.disc(real_logits, fake_logits)
      metrics = {
        'loss/disc': loss,
        'disc/real': jnp.mean(real_logits),
        'disc/fake': jnp.mean(fake_logits),
      }
      if config.loss.gan == 'wgan-gp':
        penalty = losses.gradient_penalty(
          lambda ab: run_disc(params, stats, ab[..., :channels_a], ab[..., channels_a:])[0],
          jnp.concatenate([a, b], axis=-1),
          jnp.concatenate([a, fake_b], axis=-1),
          rng,
        )
        loss += config.loss.gradient_penalty * penalty
        metrics |= {'loss/disc': loss, 'loss/gradient_penalty': penalty}
      return loss, (stats, metrics)

    state, (stats, metrics) = update(state, txs, 'disc', loss_fn)
    return with_stats(state, 'disc', stats), metrics

  def train_step(state, batch, rng):
    """One update of both nets."""
    a, b = batch['a'].astype(dtype), batch['b'].astype(dtype)
    dropout_rng, penalty_rng = jax.random.split(rng)
    metrics = {'lr': rate(state.step)}

    fake_b, pull_back, stats = jax.vjp(
      lambda params: run_gen(params, state.extra['batch_stats']['gen'], a, dropout_rng),
      state.params['gen'],
      has_aux=True,
    )
    state = with_stats(state, 'gen', stats)
    if adversarial:
      state, disc_metrics = disc_step(state, a, b, fake_b, penalty_rng)
      metrics |= disc_metrics

    def gen_loss(fake_b):
      l1 = losses.l1(fake_b, b)
      loss, stats, aux = config.loss.l1 * l1, {}, {'loss/l1': l1}
      if adversarial:
        logits, stats = run_disc(state.params['disc'], state.extra['batch_stats']['disc'], a, fake_b)
        aux['loss/gan'] = gan.gen(logits)
        loss += config.loss.gan_weight * aux['loss/gan']
      return loss, (stats, aux | {'loss/gen': loss})

    grad, (stats, aux) = jax.grad(gen_loss, has_aux=True)(fake_b)
    if adversarial:
      state = with_stats(state, 'disc', stats)
    state = apply_grads(state, txs, 'gen', pull_back(grad)[0])
    if config.ema:
      average = optim.ema(state.extra['ema'], state.params['gen'], config.ema)
      state = state.replace(extra={**state.extra, 'ema': average})
    return state.replace(step=state.step + 1), metrics | aux

  def translate(state, images, rng):
    """fake_b for images a, each by itself: with the batch's statistics, a batch is one image, as in the paper."""
    params = state.extra['ema'] if config.ema else state.params['gen']

    def one(image, rng):
      fake_b, _ = run_gen(
        params,
        state.extra['batch_stats']['gen'],
        image[None].astype(dtype),
        rng,
        dropout=config.test.dropout,
        running_stats=test_stats == 'running',
      )
      return fake_b[0]

    return jax.vmap(one)(images, jax.random.split(rng, len(images)))

  return Method(init, train_step, translate, nets)


def with_stats(state, net, stats):
  """The state with new running statistics of one net's batch norms."""
  return state.replace(extra={**state.extra, 'batch_stats': {**state.extra['batch_stats'], net: stats}})
