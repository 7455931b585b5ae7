"""Computes the goldens of test_parity.py with PyTorch, in float64, from the nets and steps in experiments/speed/.

  python -m tests.make_goldens

writes tests/goldens/*.npz anew. That is needed only when parity_cases.py or those two change: the numbers are
PyTorch's, so a test that fails because our code has changed is never mended by it.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from experiments.speed import torch_steps
from experiments.speed.torch_nets import build
from tests import parity_cases as cases

FOLDER = Path(__file__).parent / 'goldens'


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


def batches(method: str, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
  shape = (count, 3, cases.SIZE, cases.SIZE)
  return [
    tuple(torch.from_numpy(cases.images(f'{method}/{step}/{k}', shape)) for k in 'ab') for step in range(cases.STEPS)
  ]


def scheduled(make_step, *arguments):
  """make_step(*arguments, adam=...), whose rates follow get_scheduler of the reference's models/networks.py."""
  schedulers, done = [], 0

  def multiplier(epoch):
    return 1.0 - max(0, epoch + 1 - cases.CONSTANT) / float(cases.DECAYING + 1)

  def adam(*nets):
    optimizer = torch_steps.adam(*nets)
    schedulers.append(torch.optim.lr_scheduler.LambdaLR(optimizer, multiplier))
    return optimizer

  step = make_step(*arguments, adam=adam)

  def scheduled_step(a, b):
    nonlocal done
    losses = step(a, b)
    done += 1
    if done % cases.EPOCH == 0:
      for scheduler in schedulers:
        scheduler.step()
    return losses

  return scheduled_step


def pix2pix() -> dict[str, np.ndarray]:
  gen, disc = (load(build(cases.PIX2PIX[k], c, 3), f'pix2pix/{k}') for k, c in (('gen', 3), ('disc', 6)))
  step = scheduled(torch_steps.pix2pix, gen, disc)
  trace = [step(a, b) for a, b in batches('pix2pix', cases.PIX2PIX['batch'])]
  return finished(trace, {'gen': gen, 'disc': disc})


def cyclegan() -> dict[str, np.ndarray]:
  names = {'gen': ('ab', 'ba'), 'disc': ('a', 'b')}
  nets = {n: load(build(cases.CYCLEGAN[k], 3, 3), f'cyclegan/{n}') for k in names for n in names[k]}
  draws = {which: (x.ravel().tolist() for x in cases.pool_draws(which)) for which in 'ab'}
  pools = {which: torch_steps.Pool(cases.CYCLEGAN['pool'], zip(*draws[which], strict=True)) for which in 'ab'}
  step = scheduled(torch_steps.cyclegan, nets, pools)
  return finished([step(a, b) for a, b in batches('cyclegan', cases.CYCLEGAN['batch'])], nets)


def finished(trace: list[dict], nets: dict[str, nn.Module]) -> dict[str, np.ndarray]:
  """The losses, [STEPS] each, and all weights after the last update."""
  losses = {name: np.array([float(losses[name].detach()) for losses in trace]) for name in trace[0]}
  last = {f'{key}:{name}': x for key, net in nets.items() for name, x in state(net).items()}
  return losses | {name: x for name, x in last.items() if x.ndim}


def main():
  torch.set_default_dtype(torch.float64)
  FOLDER.mkdir(exist_ok=True)
  for make in (layers, nets, pix2pix, cyclegan):
    file = FOLDER / f'{make.__name__}.npz'
    np.savez_compressed(file, **make())
    print(f'{file}: {file.stat().st_size / 1e3:,.0f} kB')


if __name__ == '__main__':
  main()
