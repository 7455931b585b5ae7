"""PyTorch's side of the speed table: the same work in plain torch.nn, in its usual and its fastest forms.

A variant is a list of words: `channels_last` lays images out as NHWC, `compile` compiles the nets with
torch.compile; without words it is PyTorch out of the box.
"""

import contextlib
import itertools
import os

import torch
from torch.utils.flop_counter import FlopCounterMode

from experiments.speed import rows as speed_rows
from experiments.speed import torch_nets, torch_steps

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'

torch.set_num_threads(os.cpu_count())
if DEVICE == 'cuda':
  # As fast as float32 gets there, and what JAX does by default.
  torch.set_float32_matmul_precision('high')
  torch.backends.cudnn.conv.fp32_precision = 'tf32'
  torch.backends.cudnn.benchmark = True


def task(row: speed_rows.Row, variant: str):
  """(step, sync, 0.0): a step of the row's work, which may return before the device is done, and a wait for it.

  What torch.compile takes is a part of the first step.
  """
  torch.manual_seed(0)
  config = speed_rows.config(row)
  layout = torch.channels_last if 'channels_last' in variant else torch.contiguous_format

  def place(net):
    net = net.to(DEVICE, memory_format=layout)
    return torch.compile(net) if 'compile' in variant else net

  def gen():
    return place(torch_nets.build(config.gen, 3, 3, dropout=config.gen.dropout > 0))

  def disc(channels):
    return place(torch_nets.build(config.disc, channels, 1))

  shape = (row.batch, 3, row.size, row.size)
  a, b = ((torch.rand(shape) * 2 - 1).to(DEVICE, memory_format=layout) for _ in 'ab')
  half = row.precision == 'bfloat16'
  autocast = (lambda: torch.autocast(DEVICE, torch.bfloat16)) if half else contextlib.nullcontext

  if row.kind == 'translate':
    net = gen()  # in training's mode, as pix2pix is tested: dropout, and each batch's own statistics

    def step():
      with torch.inference_mode(), autocast():
        net(a)

    return step, sync, 0.0

  if row.method == 'pix2pix':
    update = torch_steps.pix2pix(gen(), disc(6))
  else:
    nets = {'ab': gen(), 'ba': gen(), 'a': disc(3), 'b': disc(3)}
    draws = itertools.cycle([(True, 0), (False, 0), (True, 1), (False, 0)])
    update = torch_steps.cyclegan(nets, {k: torch_steps.Pool(config.pool, draws) for k in 'ab'})

  def step():
    with autocast():
      update(a, b)

  return step, sync, 0.0


def sync():
  if DEVICE == 'cuda':
    torch.cuda.synchronize()


def matmul(size: int, precision: str):
  """(step, sync) of one product of two square matrices."""
  x = torch.ones((size, size), dtype=getattr(torch, precision), device=DEVICE)
  return lambda: x @ x, sync


def flops(step) -> int:
  """Operations of a step's convolutions, in the direct form, forward and backward; of an uncompiled variant."""
  with FlopCounterMode(display=False) as counter:
    step()
  return counter.get_total_flops()


def device_memory() -> int | None:
  """The most bytes that were in use on the device, None where it has no memory of its own."""
  return torch.cuda.max_memory_allocated() if DEVICE == 'cuda' else None


def device() -> tuple[str, str]:
  """(platform, description)."""
  name = torch.cuda.get_device_name() if DEVICE == 'cuda' else f'{torch.get_num_threads()} threads'
  return DEVICE.replace('cuda', 'gpu'), f'PyTorch {torch.__version__} on {name}'
