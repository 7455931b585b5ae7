"""What keeps a discriminator in bounds, as terms of its loss or as steps that it leaves out."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from i2i_jax.errors import BadInput
from i2i_jax.losses import ada, objectives
from i2i_jax.losses.reconstruction import l1
from i2i_jax.runtime.precision import storage_dtype, widened


def penalty_weight(config: ConfigDict) -> float:
  """Of the gradient penalty: config.loss.gradient_penalty, or where that is empty 10 for wgan-gp and 0 else."""
  weight = config.loss.gradient_penalty
  return weight if weight is not None else 10.0 * (config.loss.gan == 'wgan-gp')


def check(config: ConfigDict) -> None:
  """Raises BadInput for what cannot be meant."""
  ada.check(config)
  if config.optim.repeat and config.loss.gan == 'none':
    raise BadInput("config.optim.repeat: with config.loss.gan = 'none' there are no two sides; set it to 0")
  if config.optim.repeat and not config.optim.weak < config.optim.adaptive:
    raise BadInput(
      f'config.optim.repeat = {config.optim.repeat}: the weaker side is known by config.optim.adaptive = '
      f'{config.optim.adaptive}, which must be above config.optim.weak = {config.optim.weak}: take 0.8'
    )
  if config.optim.adaptive and config.loss.gan == 'wgan-gp':
    raise BadInput('config.optim.adaptive: the critic of wgan-gp has no accuracy; set it to 0, or take hinge')


def r1(disc: Callable, real: jax.Array) -> jax.Array:
  """Half of the mean of |gradient of disc at real images|^2; its weight is the gamma of the papers.

  Mescheder et al., Which Training Methods for GANs do actually Converge?, ICML 2018.

  Args:
    disc: [B, H, W, C] to logits, an array or a list of them; those of an image are added up, as in the gradient
      penalty.
    real: its input.
  """
  grads = jax.grad(lambda x: sum(jnp.sum(y) for y in jax.tree.leaves(disc(x))))(real)
  return 0.5 * jnp.mean(jnp.square(widened(grads)).sum((1, 2, 3)))


def penalties(
  config: ConfigDict, disc: Callable, real: jax.Array, fake: jax.Array, rng: jax.Array, step: jax.Array | int
) -> tuple[jax.Array | float, dict]:
  """The penalties that `config.loss` asks for: (loss to add, metrics before the weights).

  R1 is computed at each `r1_every`-th step alone, with as many times its weight as the discriminator has updates from
  one to the next (lazy regularisation: Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR
  2020); its metric is 0 at the steps between.

  Args:
    disc, real, fake, rng: as for `objectives.gradient_penalty`. step: updates done.
  """
  loss, metrics = 0.0, {}
  if config.loss.gan == 'wgan-gp' or penalty_weight(config):
    metrics['gradient_penalty'] = objectives.gradient_penalty(disc, real, fake, rng)
    loss += penalty_weight(config) * metrics['gradient_penalty']
  if config.loss.r1:
    every = config.loss.r1_every
    if every == 1:
      term = r1(disc, real)
    else:
      nothing = jnp.zeros((), storage_dtype(real.dtype))
      term = jax.lax.cond(step % every == 0, lambda: r1(disc, real), lambda: nothing)
    metrics['r1'] = term
    # An update of the discriminator, at a multiple of disc_every, has R1 where it is also one of r1_every.
    loss += config.loss.r1 * (every // math.gcd(every, config.optim.disc_every)) * term
  return loss, {f'loss/{name}': value for name, value in metrics.items()}


def feature_matching(real: list, fake: list) -> jax.Array:
  """L1 between a discriminator's features of fakes and of real images, which are fixed.

  pix2pixHD: 4 by the number of features (layers + 1), by the mean over the scales of the sum over layers. Wang et
  al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs, CVPR 2018;
  models/pix2pixHD_model.py.

  Args:
    real, fake: `out['features']`, a list of [B, h, w, C]; of several scales, a list of such lists.
  """
  if not isinstance(real[0], list | tuple):
    real, fake = [real], [fake]
  total = 0.0
  for reals, fakes in zip(real, fake, strict=True):
    pairs = zip(jax.lax.stop_gradient(reals), fakes, strict=True)
    total += 4 / len(reals) * sum(l1(f, r) for r, f in pairs)
  return total / len(real)


def middle(config: ConfigDict) -> float:
  """The logit between those of real images and those of fakes."""
  return 0.5 if config.loss.gan == 'lsgan' else 0.0  # between its labels


def taken_for_real(config: ConfigDict, logits: jax.Array) -> jax.Array:
  """The share of patches whose logits say real, the mean over scales: 0 to 1."""
  shares = [jnp.mean(x > middle(config), dtype=jnp.float32) for x in jax.tree.leaves(logits)]
  return sum(shares) / len(shares)


def accuracies(config: ConfigDict, real_logits: jax.Array, fake_logits: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The shares of real patches and of fake ones that the discriminator tells rightly, means over scales: 0 to 1."""
  fake = [jnp.mean(x < middle(config), dtype=jnp.float32) for x in jax.tree.leaves(fake_logits)]
  return taken_for_real(config, real_logits), sum(fake) / len(fake)


def mean_sign(config: ConfigDict, real_logits: jax.Array) -> jax.Array:
  """ADA's r_t: the share of real patches that are taken for real less that taken for fake, -1 to 1.

  The mean over scales. Near 1 the discriminator knows its training images by heart.
  """
  signs = [jnp.mean(jnp.sign(x - middle(config)), dtype=jnp.float32) for x in jax.tree.leaves(real_logits)]
  return sum(signs) / len(signs)


def readings(config: ConfigDict, real_logits: jax.Array, fake_logits: jax.Array) -> dict:
  """What is logged of a discriminator: mean logits, r_t, and how often it is right on real and on fake patches.

  The critic of wgan-gp has no more than the first: its logits have no middle.
  """
  found = {'disc/real': objectives.mean_logit(real_logits), 'disc/fake': objectives.mean_logit(fake_logits)}
  if config.loss.gan == 'wgan-gp':
    return found
  real, fake = accuracies(config, real_logits, fake_logits)
  found |= {'disc/r_t': mean_sign(config, real_logits), 'disc/right_real': real, 'disc/right_fake': fake}
  return found | ({'disc/accuracy': (real + fake) / 2} if config.optim.adaptive else {})


def fooled(config: ConfigDict, fake_logits: jax.Array, side: str = '') -> dict:
  """'gen/fools': the share of fake patches that are taken for real, where config.optim.repeat asks for it."""
  if not config.optim.repeat:
    return {}
  return {f'gen/fools{side}': taken_for_real(config, fake_logits)}


def is_weak(config: ConfigDict, net: str, metrics: dict) -> jax.Array:
  """Whether `net` ('gen' or 'disc') is the weaker side, by the metrics of its own last update."""
  name = 'gen/fools' if net == 'gen' else 'disc/accuracy'
  shares = [value for key, value in metrics.items() if key in (name, f'{name}_a', f'{name}_b')]
  share = sum(shares) / len(shares)
  return 1 - share > config.optim.adaptive if net == 'gen' else share < config.optim.weak


def is_turn(
  config: ConfigDict, net: str, step: jax.Array | int, accuracies: Sequence[jax.Array] = ()
) -> jax.Array | None:
  """Whether `net` ('gen' or 'disc') is updated at this step: None for always, else a boolean array.

  At step n, counted from 0, a net is updated if n is a multiple of config.optim.gen_every or disc_every: `disc_every`
  = 2 is two updates of G for one of D, `gen_every` = 2 one for two. With config.optim.adaptive D passes where the
  mean of `accuracies`, measured at this very step, is above it.
  """
  every = config.optim[f'{net}_every']
  turn = None if every == 1 else step % every == 0
  if net == 'disc' and config.optim.adaptive:
    fair = sum(accuracies) / len(accuracies) <= config.optim.adaptive
    turn = fair if turn is None else turn & fair
  return turn
