"""Training steps of pytorch-CycleGAN-and-pix2pix in plain PyTorch: models/pix2pix_model.py, cycle_gan_model.py.

Each function returns step(a, b) -> losses, for images [B, C, H, W] in [-1, 1].
"""

import contextlib

import torch
from torch import nn
from torch.nn import functional as F


def adam(*nets: nn.Module) -> torch.optim.Adam:
  return torch.optim.Adam([p for net in nets for p in net.parameters()], lr=2e-4, betas=(0.5, 0.999), fused=True)


def bce(logits, label):
  return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def lsgan(logits, label):
  return F.mse_loss(logits, torch.full_like(logits, label))


@contextlib.contextmanager
def fixed(*nets: nn.Module):
  """Within it no gradients of these nets' weights are computed."""
  for net in nets:
    net.requires_grad_(False)
  yield
  for net in nets:
    net.requires_grad_(True)


def pix2pix(gen: nn.Module, disc: nn.Module, adam=adam):
  """The discriminator's update, then the generator's, on one forward of the generator."""
  gen_adam, disc_adam = adam(gen), adam(disc)

  def step(a, b):
    fake_b = gen(a)
    fake_logits = disc(torch.cat([a, fake_b.detach()], 1))
    real_logits = disc(torch.cat([a, b], 1))
    disc_loss = 0.5 * (bce(fake_logits, 0.0) + bce(real_logits, 1.0))
    disc_adam.zero_grad()
    disc_loss.backward()
    disc_adam.step()

    with fixed(disc):
      gan, l1 = bce(disc(torch.cat([a, fake_b], 1)), 1.0), F.l1_loss(fake_b, b)
      gen_adam.zero_grad()
      (gan + 100 * l1).backward()
    gen_adam.step()
    return {'loss/disc': disc_loss, 'loss/gan': gan, 'loss/l1': l1, 'loss/gen': gan + 100 * l1}

  return step


class Pool:
  """Fills first; then, where a draw (swap, slot) says so, gives a stored image for the new one."""

  def __init__(self, size: int, draws):
    self.size, self.stored, self.draws = size, [], iter(draws)

  def query(self, images):
    returned = []
    for image, (swap, slot) in zip(images, self.draws, strict=False):
      if len(self.stored) < self.size:
        self.stored.append(image)
      elif swap:
        image, self.stored[slot] = self.stored[slot], image
      returned.append(image)
    return torch.stack(returned)


def cyclegan(nets: dict[str, nn.Module], pools: dict[str, Pool], adam=adam):
  """Both generators' update by one Adam, then both discriminators' by another, on fakes from pools.

  `nets` are the generators 'ab', 'ba' and the discriminators 'a', 'b'; `pools` are {'a', 'b'}.
  """
  gen_adam, disc_adam = adam(nets['ab'], nets['ba']), adam(nets['a'], nets['b'])

  def step(a, b):
    with fixed(nets['a'], nets['b']):
      fake_b = nets['ab'](a)
      cycle_a = nets['ba'](fake_b)
      fake_a = nets['ba'](b)
      cycle_b = nets['ab'](fake_a)
      parts = {
        'loss/gan_ab': lsgan(nets['b'](fake_b), 1.0),
        'loss/gan_ba': lsgan(nets['a'](fake_a), 1.0),
        'loss/cycle_a': 10 * F.l1_loss(cycle_a, a),
        'loss/cycle_b': 10 * F.l1_loss(cycle_b, b),
        'loss/identity_a': 0.5 * 10 * F.l1_loss(nets['ba'](a), a),
        'loss/identity_b': 0.5 * 10 * F.l1_loss(nets['ab'](b), b),
      }
      gen_adam.zero_grad()
      sum(parts.values()).backward()
    gen_adam.step()

    disc_adam.zero_grad()
    for which, real, fake in (('b', b, fake_b), ('a', a, fake_a)):
      fake = pools[which].query(fake.detach())
      loss = 0.5 * (lsgan(nets[which](real), 1.0) + lsgan(nets[which](fake), 0.0))
      loss.backward()
      parts[f'loss/disc_{which}'] = loss
    disc_adam.step()
    return parts

  return step
