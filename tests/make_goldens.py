"""Computes the goldens of test_parity.py with PyTorch, in float64, from the nets of torch_nets.py.

  python tests/make_goldens.py

writes tests/goldens/*.npz anew. That is needed only when parity_cases.py or torch_nets.py change: the numbers are
PyTorch's, so a test that fails because our code has changed is never mended by it.
"""

from pathlib import Path

import numpy as np
import parity_cases as cases
import torch
import torch_nets
from torch import nn
from torch.nn import functional as F

FOLDER = Path(__file__).parent / 'goldens'


def build(config: dict, channels_in: int, channels: int) -> nn.Module:
  """The PyTorch net of one of our configs."""
  if config['name'] == 'unet':
    return torch_nets.unet(channels_in, channels, config['depth'], config['width'], config['norm'], dropout=False)
  if config['name'] == 'resnet':
    return torch_nets.resnet(channels_in, channels, config['blocks'], config['width'], config['norm'])
  if config['layers']:
    return torch_nets.patchgan(channels_in, config['layers'], config['width'], config['norm'])
  return torch_nets.Pixel(channels_in, config['width'], config['norm'])


def load(net: nn.Module, case: str) -> nn.Module:
  """The net with the weights that parity_cases draws for it."""
  arrays = cases.weights(case, {name: x.shape for name, x in net.state_dict().items()})
  net.load_state_dict({name: torch.from_numpy(x) for name, x in arrays.items()}, strict=True)
  return net


def state(net: nn.Module) -> dict[str, np.ndarray]:
  return {name: x.numpy().copy() for name, x in net.state_dict().items()}


def pulled_back(net: nn.Module, x: torch.Tensor, case: str) -> dict[str, np.ndarray]:
  """Output, and gradients of its product with random numbers: {'y', 'grad_x', 'grad/NAME'}."""
  x = x.clone().requires_grad_()
  y = net(x)
  (y * torch.from_numpy(cases.normal(f'{case}/cotangent', y.shape))).sum().backward()
  grads = {f'grad/{name}': p.grad.numpy() for name, p in net.named_parameters()}
  return {'y': y.detach().numpy(), 'grad_x': x.grad.numpy(), **grads}


def statistics(net: nn.Module) -> dict[str, np.ndarray]:
  return {name: x for name, x in state(net).items() if name.endswith(('running_mean', 'running_var'))}


def layers() -> dict[str, np.ndarray]:
  c_in, c_out = cases.CHANNELS
  nets = {}
  for name, (k, s, p) in cases.CONVS.items():
    nets[f'conv/zero/{name}'] = nn.Conv2d(c_in, c_out, k, s, p)
    if name in cases.REFLECTED:
      nets[f'conv/reflect/{name}'] = nn.Conv2d(c_in, c_out, k, s, p, padding_mode='reflect')
  for name, (k, op) in cases.TRANSPOSED.items():
    nets[f'transpose/{name}'] = nn.ConvTranspose2d(c_in, c_out, k, 2, 1, output_padding=op)
  nets['norm/instance'] = nn.InstanceNorm2d(c_in)
  nets['norm/batch'] = nn.BatchNorm2d(c_in)
  nets['leaky_relu'] = nn.LeakyReLU(0.2)
  nets['reflect'] = nn.ReflectionPad2d(3)

  out = {}
  for case, net in nets.items():
    x = torch.from_numpy(cases.normal(f'{case}/x', cases.INPUT))
    load(net, case)
    with torch.no_grad():
      evaluated = net.eval()(x).numpy()
    results = pulled_back(net.train(), x, case)
    if case == 'norm/batch':
      results |= {'y_eval': evaluated} | {f'after/{name}': v for name, v in statistics(net).items()}
    out |= {f'{case}:{name}': value for name, value in results.items()}
  return out


def nets() -> dict[str, np.ndarray]:
  out = {}
  for case, (config, channels, shape) in cases.NETS.items():
    net = load(build(config, shape[1], channels), case)
    x = torch.from_numpy(cases.images(f'{case}/x', shape))
    names = state(net)
    results = {
      'names': np.array(list(names)),
      'shapes': np.array([' '.join(map(str, v.shape)) for v in names.values()]),
    }
    if config['norm'] == 'batch':
      with torch.no_grad():
        results['y_eval'] = net.eval()(x).numpy()
    results |= pulled_back(net.train(), x, case)
    results |= {f'after/{name}': value for name, value in statistics(net).items()}
    out |= {f'{case}:{name}': value for name, value in results.items()}

  config, channels, shape = cases.UNET_256
  net = load(build(config, shape[1], channels), 'unet_256')
  with torch.no_grad():
    y = net(torch.from_numpy(cases.images('unet_256/x', shape)))
  return {**out, 'unet_256:y': y.numpy()[..., :: cases.EVERY, :: cases.EVERY]}


def adam(*nets: nn.Module) -> torch.optim.Adam:
  return torch.optim.Adam([p for net in nets for p in net.parameters()], lr=2e-4, betas=(0.5, 0.999))


def batches(method: str, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
  shape = (count, 3, cases.SIZE, cases.SIZE)
  return [
    tuple(torch.from_numpy(cases.images(f'{method}/{step}/{k}', shape)) for k in 'ab') for step in range(cases.STEPS)
  ]


def pix2pix() -> dict[str, np.ndarray]:
  """Ten updates: the discriminator's, then the generator's, on one forward of the generator."""
  gen, disc = (load(build(cases.PIX2PIX[k], c, 3), f'pix2pix/{k}') for k, c in (('gen', 3), ('disc', 6)))
  gen_adam, disc_adam = adam(gen), adam(disc)

  def bce(logits, label):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))

  trace = []
  for a, b in batches('pix2pix', cases.PIX2PIX['batch']):
    fake_b = gen(a)
    fake_logits = disc(torch.cat([a, fake_b.detach()], 1))
    real_logits = disc(torch.cat([a, b], 1))
    disc_loss = 0.5 * (bce(fake_logits, 0.0) + bce(real_logits, 1.0))
    disc_adam.zero_grad()
    disc_loss.backward()
    disc_adam.step()

    gan, l1 = bce(disc(torch.cat([a, fake_b], 1)), 1.0), F.l1_loss(fake_b, b)
    gen_adam.zero_grad()
    (gan + 100 * l1).backward()
    gen_adam.step()
    trace.append({'loss/disc': disc_loss, 'loss/gan': gan, 'loss/l1': l1, 'loss/gen': gan + 100 * l1})
  return finished(trace, {'gen': gen, 'disc': disc})


class Pool:
  """Fills first; then, where `swap` says so, gives a stored image for the new one."""

  def __init__(self, size, swaps, slots):
    self.size, self.stored = size, []
    self.draws = zip(swaps.ravel().tolist(), slots.ravel().tolist(), strict=True)

  def query(self, images):
    returned = []
    for image, (swap, slot) in zip(images, self.draws, strict=False):
      if len(self.stored) < self.size:
        self.stored.append(image)
      elif swap:
        image, self.stored[slot] = self.stored[slot], image
      returned.append(image)
    return torch.stack(returned)


def cyclegan() -> dict[str, np.ndarray]:
  """Ten updates: both generators' by one Adam, then both discriminators' by another, on fakes from pools."""
  names = {'gen': ('ab', 'ba'), 'disc': ('a', 'b')}
  nets = {n: load(build(cases.CYCLEGAN[k], 3, 3), f'cyclegan/{n}') for k in names for n in names[k]}
  gen_adam, disc_adam = adam(nets['ab'], nets['ba']), adam(nets['a'], nets['b'])
  pools = {which: Pool(cases.CYCLEGAN['pool'], *cases.pool_draws(which)) for which in 'ab'}

  def lsgan(logits, label):
    return F.mse_loss(logits, torch.full_like(logits, label))

  trace = []
  for a, b in batches('cyclegan', cases.CYCLEGAN['batch']):
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

    disc_adam.zero_grad()  # what the generators' loss left there
    for which, real, fake in (('b', b, fake_b), ('a', a, fake_a)):
      fake = pools[which].query(fake.detach())
      loss = 0.5 * (lsgan(nets[which](real), 1.0) + lsgan(nets[which](fake), 0.0))
      loss.backward()
      parts[f'loss/disc_{which}'] = loss
    disc_adam.step()
    trace.append(parts)
  return finished(trace, nets)


def finished(trace: list[dict], nets: dict[str, nn.Module]) -> dict[str, np.ndarray]:
  """The losses, [STEPS] each, and all weights after the last update."""
  losses = {name: np.array([float(losses[name].detach()) for losses in trace]) for name in trace[0]}
  last = {f'{key}:{name}': x for key, net in nets.items() for name, x in state(net).items()}
  # Rounded to float32: half the room, and compared as coarsely as that.
  return losses | {name: x.astype(np.float32) for name, x in last.items() if x.ndim}


def main():
  torch.set_default_dtype(torch.float64)
  FOLDER.mkdir(exist_ok=True)
  for make in (layers, nets, pix2pix, cyclegan):
    file = FOLDER / f'{make.__name__}.npz'
    np.savez_compressed(file, **make())
    print(f'{file}: {file.stat().st_size / 1e3:,.0f} kB')


if __name__ == '__main__':
  main()
