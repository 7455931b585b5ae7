"""Losses: pure functions on arrays.

The logits of a discriminator may be an array or a list of arrays (one a scale): a GAN loss averages each and
adds the averages up.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from i2i_jax.errors import choice


class GANLoss(NamedTuple):
  """An adversarial objective: `disc(real_logits, fake_logits)` and `gen(fake_logits)`, both to a scalar.

  `disc` is the sum over real and fake; pix2pix and CycleGAN take half of it.
  """

  disc: Callable
  gen: Callable


def over_scales(loss: Callable) -> Callable:
  """Makes a loss on arrays of logits one on lists of them: averages each and adds the averages up."""
  return lambda *logits: sum(jnp.mean(loss(*leaf)) for leaf in zip(*map(jax.tree.leaves, logits), strict=True))


def bce(logits: jax.Array, label: float) -> jax.Array:
  return optax.sigmoid_binary_cross_entropy(logits, jnp.full_like(logits, label))


OBJECTIVES = {
  # Goodfellow et al. 2014, with the non-saturating generator's loss.
  'vanilla': GANLoss(
    disc=over_scales(lambda real, fake: bce(real, 1.0) + bce(fake, 0.0)),
    gen=over_scales(lambda fake: bce(fake, 1.0)),
  ),
  # Mao et al., Least Squares Generative Adversarial Networks, ICCV 2017.
  'lsgan': GANLoss(
    disc=over_scales(lambda real, fake: jnp.square(real - 1) + jnp.square(fake)),
    gen=over_scales(lambda fake: jnp.square(fake - 1)),
  ),
  # Lim and Ye, Geometric GAN, 2017; Miyato et al., Spectral Normalization, ICLR 2018.
  'hinge': GANLoss(
    disc=over_scales(lambda real, fake: jax.nn.relu(1 - real) + jax.nn.relu(1 + fake)),
    gen=over_scales(lambda fake: -fake),
  ),
  # Gulrajani et al., Improved Training of Wasserstein GANs, NeurIPS 2017; add `gradient_penalty` to `disc`.
  'wgan-gp': GANLoss(
    disc=over_scales(lambda real, fake: fake - real),
    gen=over_scales(lambda fake: -fake),
  ),
}


def gan(objective: str) -> GANLoss | None:
  """The objective that `config.loss.gan` names; None for 'none'."""
  return OBJECTIVES.get(choice('config.loss.gan', objective, (*OBJECTIVES, 'none')))


def gradient_penalty(disc: Callable, real: jax.Array, fake: jax.Array, rng: jax.Array) -> jax.Array:
  """Mean of (|gradient of disc| - 1)^2 at random points between real and fake, a sample each.

  Args:
    disc: [B, H, W, C] to logits. real, fake: its inputs. rng: draws the points.
  """
  mix = jax.random.uniform(rng, (real.shape[0], 1, 1, 1), real.dtype)
  points = mix * real + (1 - mix) * fake
  # Summed logits, as cal_gradient_penalty in models/networks.py of pytorch-CycleGAN-and-pix2pix.
  grads = jax.grad(lambda x: sum(jnp.sum(y) for y in jax.tree.leaves(disc(x))))(points)
  norms = jnp.sqrt(jnp.square(grads).sum((1, 2, 3)) + 1e-16)  # the root has no gradient at zero
  return jnp.mean(jnp.square(norms - 1))


def mean_logit(logits: jax.Array) -> jax.Array:
  """The mean logit, of several scales the mean of their means: what is logged."""
  means = [jnp.mean(leaf) for leaf in jax.tree.leaves(logits)]
  return sum(means[1:], means[0]) / len(means)


def cam(of_source: jax.Array, of_target: jax.Array) -> jax.Array:
  """The auxiliary loss of a generator's class activation maps: its classifiers tell source images (1) from target.

  Kim et al., U-GAT-IT, ICLR 2020. Arguments: logits, or a tree of them.
  """
  return over_scales(lambda source, target: bce(source, 1.0).mean() + bce(target, 0.0).mean())(of_source, of_target)
