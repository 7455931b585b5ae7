"""Small configs of each method, and ten steps of them."""

import jax
import numpy as np

from i2i_jax import fields, methods
from i2i_jax.data import images
from i2i_jax.runs import checkpoint
from i2i_jax.runtime import compiling, mesh


def tiny_config():
  """A pix2pix config that trains a step in no time, on made-up pairs of 16x24 px."""
  config = fields.defaults()
  config.steps = 6
  config.batch_size = 8
  config.data.update({'name': 'tests.fake', 'load_size': (18, 28), 'crop_size': (16, 24)})
  config.gen.update({'depth': 3, 'width': 4, 'max_width': 8})
  config.disc.update({'layers': 1, 'width': 4})
  config.update({'log_every': 1, 'eval_every': 3, 'evals': 'psnr,l1', 'checkpoint_every': 3, 'samples': 2})
  config.optim.schedule = 'constant'  # so that runs of different lengths share a program, compiled once
  return config.lock()


def small(method: str, **changes):
  """A config of nets that train ten steps in no time; each net as the method's paper has it, but small."""
  config = fields.defaults()
  config.method, config.batch_size, config.steps = method, 2, 10
  config.data.crop_size = (16, 16)
  config.gen.update({'width': 8, 'depth': 3, 'max_width': 16, 'blocks': 2})
  config.disc.update({'layers': 1, 'width': 8})
  if method == 'cyclegan':
    config.gen.update({'name': 'resnet', 'norm': 'instance', 'padding': 'reflect', 'dropout': 0.5})
    config.disc.norm, config.loss.gan, config.pool = 'instance', 'lsgan', 4
  if method == 'ugatit':
    config.gen.update({'name': 'ugatit', 'light': True})
    config.disc.update({'name': 'ugatit', 'layers': 4})
    config.loss.gan = 'lsgan'
  config.update_from_flattened_dict(changes)
  return config.lock()


def batch_of(config, seed=0):
  rng = np.random.default_rng(seed)
  coarse = rng.integers(0, 256, (2, config.batch_size, 4, 4, 3), np.uint8)
  a, b = ([images.resize(x, config.data.crop_size) for x in side] for side in coarse)
  return {'a': images.to_float(np.stack(a)), 'b': images.to_float(np.stack(b))}


def trained(config, steps: int):
  """The State after so many steps, and each step's metrics."""
  method, batch = methods.get(config), batch_of(config)
  state = jax.jit(method.init)(jax.random.key(0), batch)
  step, found = compiling.jit(method.train_step), []
  for i in range(steps):
    state, metrics = step(state, batch, jax.random.fold_in(jax.random.key(1), i))
    found.append(jax.device_get(metrics))
  return state, found


def whole_state(folder):
  """The State of a run's newest checkpoint, with its optimizers."""
  run = checkpoint.outline(folder, mesh.make('data=1'))
  with checkpoint.manager(folder) as checkpoints:
    return checkpoint.restore_state(checkpoints, run.step, run.state)
