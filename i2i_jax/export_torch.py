"""Writes a run's net as a state dict that pytorch-CycleGAN-and-pix2pix loads with strict=True.

  i2i export_torch --workdir=runs/x --output=latest_net_G.pth
  i2i export_torch --workdir=runs/x --output=latest_net_D.safetensors --net=disc

--net=gen, the default, is the generator that translates: the average of the weights where the run keeps one.
Of a CycleGAN run --direction=ab, the default, is the generator from A to B, and with --net=disc the discriminator
that judges its outputs (G_A and D_A there). .pth and .pt need PyTorch (pip install -e '.[torch]'), .safetensors does
not. A net that the PyTorch code has no counterpart of is refused, with the field of the config that
makes it so.
"""

from argparse import Namespace
from pathlib import Path

from i2i_jax import cli, options
from i2i_jax.errors import BadInput
from i2i_jax.evaluation import chosen
from i2i_jax.exporting import torch_weights
from i2i_jax.methods import base
from i2i_jax.runs import checkpoint
from i2i_jax.runtime import mesh, precision


def variables_of(run: checkpoint.Run, net: str, direction: str) -> dict:
  """{'params', 'batch_stats'} of a run's net."""
  if net not in run.state.params:
    raise BadInput(f'--net={net}: this run has none')
  checkpoint.check_direction(run, direction)
  params = base.translating(run.state) if net == 'gen' else run.state.params[net]
  stats = run.state.extra['batch_stats'][net]
  if len(run.method.translators) > 1:
    key = direction if net == 'gen' else direction[1]  # what goes to B is judged by B's discriminator
    params, stats = params[key], stats[key]
  return {'params': params, 'batch_stats': stats}


def export(workdir: Path, output: Path, *, net: str = 'gen', direction: str = 'ab', step: int | None = None) -> None:
  """Writes `output`; raises BadInput, and writes nothing, where that cannot be."""
  torch_weights.check_output(output)
  run = checkpoint.load(workdir, mesh.make('data=1'), step)
  torch_weights.check_counterpart(run.config[net], net)
  variables = variables_of(run, net, direction)
  torch_weights.write(output, torch_weights.to_torch(torch_weights.layers(run.config[net]), variables))


def main(args: Namespace | None = None) -> None:
  args = args or options.export_torch()
  precision.enable(args.precision)
  step, _ = chosen.step_of(args.workdir, args.step)
  export(args.workdir, args.output, net=args.net, direction=args.direction, step=step)
  print(f'{args.output}: the {args.net} of {args.workdir}')


if __name__ == '__main__':
  cli.run(main)
