"""Makes a run's folder of weights that pytorch-CycleGAN-and-pix2pix trained or published.

  i2i import_torch --weights=latest_net_G.pth --net=resnet_9blocks --output=runs/h2z
  i2i translate --workdir=runs/h2z --input=FOLDER --output=FOLDER

The folder is a pix2pix run's at step 0, with new optimizers: `translate` and `export_torch` take it. It translates
as test.py there does: dropout on (but for --no_dropout, if that was given there), and batch norm with each image's
own statistics. Width, channels and norm (batch or instance) are read off the file. A pix2pix discriminator comes
along with --disc_weights (a PatchGAN of 3 layers, or a PixelGAN with --disc_net=pixel); without one the run's
config.loss.gan is `none`.

.pth and .pt files need PyTorch (pip install -e '.[torch]'), .safetensors files do not. Only tensors are read:
a file that could run code when loaded is refused. What is wrong is said before anything is written.
"""

import contextlib
import os
import shutil
import tempfile
from argparse import Namespace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from i2i_jax import cli, fields, methods, options
from i2i_jax.config import to_dict
from i2i_jax.errors import BadInput
from i2i_jax.exporting import torch_weights
from i2i_jax.methods import base
from i2i_jax.runs import checkpoint, folder
from i2i_jax.runtime import mesh, stopping
from i2i_jax.runtime.describe import parameter_count

GENERATORS = {
  'unet_256': {'name': 'unet', 'depth': 8, 'padding': 'zero', 'dropout': 0.5},
  'unet_128': {'name': 'unet', 'depth': 7, 'padding': 'zero', 'dropout': 0.5},
  'resnet_9blocks': {'name': 'resnet', 'blocks': 9, 'padding': 'reflect', 'dropout': 0.0},
  'resnet_6blocks': {'name': 'resnet', 'blocks': 6, 'padding': 'reflect', 'dropout': 0.0},
}
DISCRIMINATORS = {'basic': {'name': 'patchgan', 'layers': 3}, 'pixel': {'name': 'patchgan', 'layers': 0}}
SIZES = {'unet_256': 256, 'unet_128': 128, 'resnet_9blocks': 256, 'resnet_6blocks': 128}  # px, as published


def settle(config: ConfigDict, tensors: dict[str, np.ndarray], what: str = '') -> tuple[int, int]:
  """Sets `config` (config.gen or config.disc) to what the file's tensors show; returns channels in and out.

  What a file of another net lacks is left as it is: it will be said when its names are compared.

  Raises:
    BadInput: the first or last kernel is none; `what` names the file.
  """
  if config.name == 'resnet':
    fifth, sixth = (f'model.10.conv_block.{i}.weight' in tensors for i in (5, 6))
    config.dropout = 0.5 if sixth and not fifth else 0.0  # without dropout the sixth is a batch norm's
  layers = torch_weights.layers(config)
  first, last = (tensors.get(f'{layer.torch}.weight', np.zeros((64, 64, 1, 1))) for layer in (layers[0], layers[-1]))
  for layer, kernel in ((layers[0], first), (layers[-1], last)):
    if kernel.ndim != 4 or not kernel.size:
      raise BadInput(f'{what}: {layer.torch}.weight has the shape {kernel.shape} in the file, which is no kernel')
  norm = next(layer.torch for layer in layers if layer.kind == 'norm')
  config.norm = 'batch' if f'{norm}.weight' in tensors else 'instance'
  config.width = first.shape[0]
  if config.name == 'unet':
    config.max_width = 8 * config.width
  return first.shape[1], last.shape[1 if layers[-1].kind == 'transpose' else 0]


def fits(net: str, tensors: dict[str, np.ndarray]) -> bool:
  """Whether the file has all convolutions of the generator `net`."""
  config = fields.defaults().gen
  config.update(GENERATORS[net])
  try:
    settle(config, tensors)
  except BadInput:
    return False
  return all(f'{x.torch}.weight' in tensors for x in torch_weights.layers(config) if x.kind != 'norm')


def plan(
  weights: Path,
  tensors: dict,
  net: str,
  disc_weights: Path | None,
  disc_tensors: dict | None,
  disc_net: str,
  no_dropout: bool,
) -> ConfigDict:
  """The config of a run with these nets."""
  config = fields.defaults()
  config.method = 'pix2pix'
  config.gen.update(GENERATORS[net])
  config.data.channels_a, config.data.channels_b = settle(config.gen, tensors, str(weights))
  if no_dropout:
    config.gen.dropout = 0.0
  config.data.name = 'folders'
  config.data.crop_size = (SIZES[net],) * 2
  config.data.load_size = (round(SIZES[net] * 286 / 256),) * 2
  config.loss.gan = 'none' if disc_tensors is None else 'vanilla'
  if disc_tensors is not None:
    config.disc.update(DISCRIMINATORS[disc_net])
    settle(config.disc, disc_tensors, str(disc_weights))
  return config


def import_weights(
  weights: Path,
  net: str,
  output: Path,
  *,
  disc_weights: Path | None = None,
  disc_net: str = 'basic',
  no_dropout: bool = False,
  command: str = '',
) -> None:
  """Makes the folder `output`; raises BadInput, and makes nothing, for anything that does not fit."""
  if os.path.lexists(output):
    raise BadInput(f'--output: {output} is there already; name another')
  tensors = torch_weights.read(weights)
  disc_tensors = torch_weights.read(disc_weights, '--disc_weights') if disc_weights else None
  if not fits(net, tensors) and (other := [name for name in GENERATORS if fits(name, tensors)]):
    raise BadInput(f'--net={net}: {weights} holds a {other[0]}')
  config = plan(weights, tensors, net, disc_weights, disc_tensors, disc_net, no_dropout)
  method = methods.get(config)
  shapes = jax.eval_shape(method.init, jax.random.key(0), checkpoint.example_batch(config))

  def variables(key, tensors, what):
    wanted = {'params': shapes.params[key], 'batch_stats': shapes.extra['batch_stats'][key]}
    return torch_weights.from_torch(torch_weights.layers(config[key]), tensors, wanted, what)

  nets = {'gen': variables('gen', tensors, f'{weights} as {net} of width {config.gen.width}')}
  if disc_tensors is not None:
    what = f'{disc_weights} as {disc_net} of width {config.disc.width}'
    nets['disc'] = variables('disc', disc_tensors, what)
  checkpoint.check_room(output, shapes, fault=BadInput)

  # The rest of a state at step 0: the optimizers'.
  batch = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), checkpoint.example_batch(config))
  state = base.init_on_devices(method, config, jax.random.key(config.seed), batch)
  nets = jax.tree.map(jnp.float32, nets)
  state = state.replace(
    params={key: v['params'] for key, v in nets.items()},
    extra={**state.extra, 'batch_stats': {key: v['batch_stats'] for key, v in nets.items()}},
  )
  save(output, config, jax.device_put(state, mesh.make('data=1').replicated), command)


def save(output: Path, config: ConfigDict, state: base.State, command: str) -> None:
  """Writes a run's folder under another name first, so that it is whole or not there."""
  try:
    output.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f'.{output.name}-', dir=output.parent))
  except OSError as error:
    raise BadInput(f'--output: {output} cannot be written: {error.strerror}') from None
  with stopping.hold(), contextlib.ExitStack() as done:
    done.callback(shutil.rmtree, part, ignore_errors=True)
    rng = np.asarray(jax.random.key_data(jax.random.key(config.seed))).tolist()
    with checkpoint.manager(part, config) as checkpoints:
      meta = {'config': to_dict(config), 'fingerprint': '', 'rng': rng, 'data': None}
      checkpoint.save(checkpoints, 0, state, meta)
      checkpoint.wait(checkpoints)
    parameters = {name: parameter_count(params) for name, params in state.params.items()}
    folder.note_start(
      part,
      config,
      command=command,
      data={'train': 0, 'val': 0, 'fingerprint': ''},
      columns=[],
      parameters=parameters,
      cost={},
    )
    part.chmod(0o755)  # a temporary folder is its maker's alone
    try:
      part.rename(output)
    except OSError as error:
      raise BadInput(f'--output: {output} cannot be written: {error.strerror}') from None


def main(args: Namespace | None = None) -> None:
  args = args or options.import_torch()
  command = cli.typed('import_torch')
  import_weights(
    args.weights,
    args.net,
    args.output,
    disc_weights=args.disc_weights,
    disc_net=args.disc_net,
    no_dropout=args.no_dropout,
    command=command,
  )
  print(f'{args.output}: a run of {args.net}; i2i translate --workdir={args.output} translates with it')


if __name__ == '__main__':
  cli.run(main)
