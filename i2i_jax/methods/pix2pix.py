"""pix2pix: a conditional GAN and an L1 loss on aligned pairs.

Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017;
models/pix2pix_model.py of pytorch-CycleGAN-and-pix2pix.

One generator forward is shared by both updates. The discriminator is updated first, on half of its loss; the
generator is then judged by the updated discriminator. With `config.order = 'gen_first'`, pix2pixHD's, the generator
is judged by the discriminator as it was. With `config.loss.gan = 'none'` there is no discriminator and what is left
is regression: the baseline that every ablation needs.
"""

import functools

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from i2i_jax import models, optim
from i2i_jax.errors import BadInput, choice
from i2i_jax.layers import attention
from i2i_jax.losses import ada, multiscale, objectives, reconstruction, regularisers
from i2i_jax.methods.base import (
  Method,
  Translator,
  apply_grads,
  finish_step,
  gradient_norms,
  init_net,
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
  adversarial = gan is not None
  gen_first = choice('config.order', config.order, ('paper', 'disc_first', 'gen_first')) == 'gen_first'
  if config.loss.feature_matching and not adversarial:
    raise BadInput("config.loss.feature_matching: with config.loss.gan = 'none' no net has features; set it to 0")
  regularisers.check(config)
  multiscale.check(config)
  reconstruct, name = reconstruction.get(config.loss.reconstruction), config.loss.reconstruction.rpartition('.')[2]
  dtype, run = storage_dtype(config.precision), runner(config)

  channels_a, channels_b = config.data.channels_a, config.data.channels_b
  rate = optim.schedule(config.optim, config.steps, steps_per_epoch)
  gen = models.build(config.gen, channels_b, where='gen')
  with_cam = config.loss.get('cam', 0.0) > 0 and attention.has_cam(gen)
  if with_cam and channels_a != channels_b:
    raise BadInput(
      'config.loss.cam: it takes targets through the generator too, for which a and b need equal channels'
    )
  nets, txs = {'gen': (gen, channels_a)}, {'gen': optim.generators(config, rate)}
  if adversarial:
    disc = models.build(config.disc, 1, where='disc')
    nets['disc'] = (disc, channels_a + channels_b)
    txs['disc'] = optim.discriminators(config, rate)

  def judge(state, params, stats, a, b, rng):
    """Logits of the pair (a, b), both augmented alike by `rng`; features; the updated running statistics."""
    ab = ada.seen([a, b], config, rng, state.extra, 'disc')
    return run(disc, params, stats, ab, running_stats=False)

  def init(rng, batch):
    """A fresh State; `batch` is {'a': [B, H, W, C], 'b': [B, H, W, C']}, of which only shapes count."""
    gen_rng, disc_rng = jax.random.split(rng)
    a, b = batch['a'].astype(jnp.float32), batch['b'].astype(jnp.float32)
    variables = {'gen': init_net(gen, gen_rng, a, b, dropout=False, running_stats=False)}
    if adversarial:
      variables['disc'] = init_net(disc, disc_rng, jnp.concatenate([a, b], axis=-1), running_stats=False)
    return init_state(variables, txs, dtype, config, ada.fresh(config, 'disc'))

  def disc_step(state, a, b, fake_b, rng):
    """One update of the discriminator, on half its loss. Returns the state and the metrics."""
    fake_rng, real_rng = jax.random.split(jax.random.fold_in(rng, 1))

    def loss_fn(params):
      stats = state.extra['batch_stats']['disc']
      fake_logits, _, stats = judge(state, params, stats, a, fake_b, fake_rng)
      real_logits, _, stats = judge(state, params, stats, a, b, real_rng)
      loss = 0.5 * gan.disc(real_logits, fake_logits)
      metrics = regularisers.readings(config, real_logits, fake_logits)
      penalty, more = regularisers.penalties(
        config,
        lambda ab: judge(state, params, stats, ab[..., :channels_a], ab[..., channels_a:], real_rng)[0],
        jnp.concatenate([a, b], axis=-1),
        jnp.concatenate([a, fake_b], axis=-1),
        rng,
        state.step,
      )
      loss += penalty
      return loss, (stats, metrics | more | {'loss/disc': loss})

    def turn(aux):
      return regularisers.is_turn(config, 'disc', state.step, [aux[1].get('disc/accuracy')])

    state, (stats, metrics), grads = update(state, txs, 'disc', loss_fn, turn)
    return with_stats(state, 'disc', stats), metrics | gradient_norms(config, 'disc', grads, state.step)

  def gen_step(state, a, b, outputs, pull_back, rng):
    """One update of the generator; `pull_back` takes gradients of its `outputs` to its weights."""

    def loss_fn(outputs):
      fake_b, images, cams = outputs
      distance = reconstruct(fake_b, b)
      if distance.shape:
        raise BadInput(f'config.loss.reconstruction = {name}: it gives {list(distance.shape)}, not one number')
      loss, stats, metrics = config.loss.reconstruction_weight * distance, {}, {f'loss/{name}': distance}
      if adversarial:
        params, stats = state.params['disc'], state.extra['batch_stats']['disc']
        logits, out, stats = judge(state, params, stats, a, fake_b, rng)
        metrics['loss/gan'] = gan.gen(logits)
        metrics |= regularisers.fooled(config, logits)
        loss += config.loss.gan_weight * metrics['loss/gan']
        if config.loss.feature_matching:
          _, real_out, _ = judge(state, params, stats, a, b, rng)
          matching = regularisers.feature_matching(real_out['features'], out['features'])
          metrics['loss/feature_matching'] = matching
          loss += config.loss.feature_matching * matching
      more, parts = multiscale.reconstruction(config.loss, fake_b, b, images)
      loss += more
      if with_cam:
        parts['loss/cam'] = objectives.cam(*cams)
        loss += config.loss.cam * parts['loss/cam']
      return loss, (stats, metrics | parts | {'loss/gen': loss})

    grads, (stats, metrics) = jax.grad(loss_fn, has_aux=True)(outputs)
    if adversarial:
      state = with_stats(state, 'disc', stats)
    turn = regularisers.is_turn(config, 'gen', state.step)
    (grads,) = pull_back(grads)
    return apply_grads(state, txs, 'gen', grads, turn), metrics | gradient_norms(config, 'gen', grads, state.step)

  def train_step(state, batch, rng):
    """One update of both nets."""
    a, b = batch['a'].astype(dtype), batch['b'].astype(dtype)
    dropout_rng, disc_rng = jax.random.split(rng)
    gen_rng = jax.random.fold_in(rng, 2)
    metrics = {'lr': rate(state.step)}

    def forward(state, rng):
      def generate(params):
        stats = state.extra['batch_stats']['gen']
        y, out, stats = run(gen, params, stats, a, rng=rng, dropout=True, running_stats=False)
        if not with_cam:
          return (y, out.get('images', []), ()), stats
        _, of_b, stats = run(gen, params, stats, b, rng=rng, dropout=True, running_stats=False)
        return (y, out.get('images', []), (out['cam'], of_b['cam'])), stats

      outputs, pull_back, stats = jax.vjp(generate, state.params['gen'], has_aux=True)
      return outputs, pull_back, with_stats(state, 'gen', stats)

    def gen_again(state, rng):
      outputs, pull_back, state = forward(state, rng)
      return gen_step(state, a, b, outputs, pull_back, rng)

    outputs, pull_back, state = forward(state, dropout_rng)
    judged = functools.partial(disc_step, a=a, b=b, fake_b=outputs[0])
    steps = {
      'disc': lambda state: repeated(config, 'disc', judged, *judged(state, rng=disc_rng), disc_rng),
      'gen': lambda state: repeated(
        config, 'gen', gen_again, *gen_step(state, a, b, outputs, pull_back, gen_rng), gen_rng
      ),
    }
    if not adversarial:
      del steps['disc']
    for net in reversed(steps) if gen_first else steps:
      state, more = steps[net](state)
      metrics |= more
    kept, more = ada.adjusted(state.extra, config, metrics, state.step)
    return finish_step(with_extra(state, **kept), config), metrics | more

  def translate(state, images, rng, want=output):
    """fake_b for images a."""
    params, stats = translating(state), state.extra['batch_stats']['gen']
    return translate_each(gen, params, stats, images, rng, config, want)

  return Method(init, train_step, {'ab': Translator(translate, 'gen')}, nets)
