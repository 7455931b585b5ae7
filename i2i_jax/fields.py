"""Fields that every config has, with the values of the papers; a config is these and a few edits.

`ranges.py` says beside them what each may be.

Sizes are (height, width) in pixels, images are in [-1, 1], learning rates are per update.
"""

from typing import Any

from ml_collections import ConfigDict, FieldReference
from ml_collections.config_dict import placeholder

from i2i_jax.errors import BadInput, nearest
from i2i_jax.ranges import LARGEST


def attention() -> FieldReference:
  """No attention. A field that takes text, 'down3=sagan; skip2=gate', as well as {'down3': 'sagan'}."""
  return FieldReference('', field_type=object)


def defaults() -> ConfigDict:
  """Every field there is. Configs may change values, and the command line may, but none adds a field."""
  return ConfigDict(
    {
      'method': 'pix2pix',
      'seed': 0,
      'steps': 10_000,  # updates in the whole run
      'batch_size': 1,  # over all devices
      'precision': 'float32',  # or float64, or bfloat16: nets then compute in it; weights and losses stay in float32
      'remat': False,  # activations are computed again in the backward pass: less memory, more time
      'pool': 50,  # cyclegan: fakes that are kept for each discriminator; 0: none
      'ema': 0.0,  # decay of an average of the generator's weights, which then translates; 0: none
      'order': 'paper',  # whose update is first: disc_first or gen_first; as in the method's own paper
      'diffaugment': '',  # what the discriminator sees is augmented: color,translation,cutout or some of them
      'ada': ada(),  # or augmented with a probability that its overfitting sets
      # Training begins on smaller images: ((0, 64), (5000, 128), (9000, 256)) has heights of 64 px up to update 5000.
      'grow': (),
      'data': data(),
      'gen': gen(),
      'disc': disc(),
      'loss': loss(),
      'optim': optim(),
      'test': test(),
      'writers': 'tensorboard',  # where scalars and pictures go besides files: tensorboard,wandb or one or none
      'log_every': 50,  # steps between lines of metrics.jsonl
      'health_every': 500,  # between looks at what goes wrong with GANs, see health/; 0: none
      'eval_every': 1000,  # between scores and pictures of the validation split
      # What is scored there: protocols or metrics, those with :STEPS less often: 'pixel,kd_lite0:5000'.
      'evals': 'pixel',
      'checkpoint_every': 1000,
      'keep': 3,  # the newest checkpoints that stay
      'keep_every': 0,  # and each that is a multiple of this; 0: none
      'samples': 6,  # validation images drawn in each picture
    }
  )


def data() -> dict:
  return {
    'name': 'earth',
    'paired': True,  # False: a and b are two sets of images without partners
    'channels_a': 3,  # of the input
    'channels_b': 3,  # of the target
    'depth_a': 8,  # bits of the input's values: 8, 16, or 32 for floats; files of 8 and 16 are scaled to one another
    'depth_b': 8,
    'range_a': (0.0, 1.0),  # depth 32: the values that become -1 and 1
    'range_b': (0.0, 1.0),
    'clip': False,  # floats outside of their range become its ends; False: they are refused
    'load_size': (286, 286),  # training images are resized to this,
    'crop_size': (256, 256),  # then cropped at random; evaluation resizes straight to this
    'fit': 'stretch',  # to that size whatever its shape, as the papers; or cover: the shape is kept, the rest cut off
    'labels': (),  # colours of label images, ((0, 0, 0), (255, 0, 0), ...): they are then scored as such, too
    # The inputs are label images: channels_a counts a channel for each label, by the colours in `labels` or by ids,
    'onehot': False,
    'edges': False,  # and one for the edges of instances (labels)
    'flip': True,  # mirror half of the training pairs, left to right
    # earth
    'task': 'relief',  # relief, satellite or map; cycle_gan: the set, like horse2zebra
    'size': 256,  # of the tiles: 64, 128 or 256; night: 64 or 128
    'dir': '',  # where what is made of the data is kept; empty: TFDS's own folder; hub: that of its library
    # others
    'path': '',  # the folder or file of the images; hub: also the name of a data set
    'column_a': 'imageA',  # hub: the column of the input
    'column_b': 'imageB',  # and of the target
    'direction': 'ab',  # ba exchanges input and target
    'wrong_pairs': 0.0,  # share of the training pairs that get another image's target
    'limit': 0,  # so many training images alone, evenly spread over all; 0: all
    'jitter': 0.0,  # of the colours of training images, a pair's two alike: 0 (none) to 1, see data/jitter.py
    # The input is made of the target: by 'superres(4)', 'gray', 'noise(25)', 'jpeg(10)', 'blur(2)', 'inpaint(0.25)'
    'degrade': '',  # or by several in order: 'gray; noise(25)'
  }


def gen() -> dict:
  return {
    'name': 'unet',
    'width': 64,  # channels after the first stage, doubled at each stage
    'widths': (),  # channels of each stage, in place of width: for nets of equal cost
    'norm': 'batch',  # batch, instance, group, layer or none
    'dropout': 0.5,
    'upsample': 'transpose',  # transpose, nearest or bilinear
    'padding': 'zero',  # zero, reflect or replicate
    'side_outputs': 0,  # smaller images that are put out too, of half the size, a quarter, ...; see loss
    'residual': False,  # what comes out is added to the input, for inputs that nearly are their targets
    'attention': attention(),  # blocks of layers/attention.py by stage: 'down3=sagan; bottleneck=vit(blocks=2)'
    # unet
    'depth': 8,  # stages; sides must be multiples of 2^depth
    'max_width': 512,
    # resnet
    'blocks': 9,
    'downsample': 'stride',  # stride or blur
    'halvings': 2,  # and doublings
    # pix2pixhd: a resnet, and around it
    'local': 0,  # local enhancers, each for twice the size
    'local_blocks': 3,
    'freeze_global_steps': 0,  # at first only the local enhancers learn
    # ugatit; blocks before the class activation map, and after it
    'light': False,  # the style from the map's mean, not from each of its pixels
  }


def disc() -> dict:
  return {
    'name': 'patchgan',
    'layers': 3,  # 3: patches of 70 px; 0: single pixels
    'width': 64,
    'norm': 'batch',
    'padding': 1,  # of its convolutions; pix2pixHD has 2
    'scales': 1,  # 2 to 4: so many discriminators, each for half the size of the one before
    'spectral_norm': False,  # divide each kernel by its largest singular value
    'attention': attention(),  # by stage, like 'conv1=sagan'
  }


def ada() -> dict:
  """Adaptive discriminator augmentation, losses/ada.py."""
  return {
    'target': 0.0,  # of the mean sign of logits on real images, 1 being all right: 0.6 in the paper; 0: off
    'kimg': 500.0,  # thousands of images in which its probability may go from 0 to 1; small sets need less
    'every': 4,  # steps from one change of the probability to the next
    'set': 'bgc',  # b: mirrored, turned by 90 degrees, shifted; g: scaled, turned, shifted; c: colours; or some
  }


def loss() -> dict:
  return {
    'gan': 'vanilla',  # vanilla, lsgan, hinge, wgan-gp or none (regression)
    'gan_weight': 1.0,
    # pairs (pix2pix): the distance of an output from its target, a function of losses/reconstruction.py, or any of
    # one's own by its full name; and its weight
    'reconstruction': 'l1',
    'reconstruction_weight': 100.0,
    'gradient_penalty': placeholder(float),  # weight, beside any objective; not set: 10 for wgan-gp, else 0
    'r1': 0.0,  # gamma of the penalty on gradients at real images
    'r1_every': 1,  # steps between two such penalties, each then of so many times the weight
    'feature_matching': 0.0,  # weight of the L1 between the discriminator's features of fake and real
    'laplacian': 0.0,  # weight of the L1 between Laplacian pyramids
    'laplacian_levels': 4,
    'ms_ssim': 0.0,  # weight of 1 - MS-SSIM
    'ms_ssim_levels': 5,  # 5 take 176 px or more; 4: 88, 3: 44, 2: 22
    'side_outputs': 0.0,  # weight of the L1 of gen.side_outputs' images
    'cam': 1000.0,  # of the classifiers of a generator's class activation maps, where it has attention 'cam'
    # cyclegan
    'cycle_a': 10.0,  # a to b to a
    'cycle_b': 10.0,
    'identity': 0.5,  # by the cycle's weight
  }


def optim() -> dict:
  return {
    'lr': 2e-4,
    'disc_lr_ratio': 1.0,  # the discriminator's learning rate by the generator's
    'name': 'adam',  # or adamw, lion, sgd, ...: any of optax's that takes a learning rate
    'b1': 0.5,  # where the optimizer has them
    'b2': 0.999,
    'weight_decay': 0.0,  # adam: L2, as a part of the gradient, like PyTorch's; else the optimizer's own
    'clip': 0.0,  # largest norm of all gradients of a net together; 0: they stay as they are
    'schedule': 'linear',  # linear, pix2pixhd, cosine, step or constant
    'decay_from': 0.5,  # share of the steps before the rate falls
    'per_epoch': True,  # the rate changes between epochs only
    'gen_every': 1,  # steps between two updates of the generators: 2 with disc_every 1 is G:D 1:2
    'disc_every': 1,  # and of the discriminators
    'adaptive': 0.0,  # discriminators pass while their accuracy is above it, like 0.8; 0: off
    'repeat': 0,  # with adaptive: most updates that the weaker side has more in a step
    'weak': 0.55,  # with repeat: discriminators are the weaker side below this accuracy, generators above `adaptive`
  }


def test() -> dict:
  """How a trained generator translates; pix2pix as published keeps both as in training."""
  return {
    'dropout': True,
    'batch_stats': 'batch',  # batch norm uses each image's own statistics, or 'running' ones
  }


RESNETS = ('resnet', 'pix2pixhd')
GENERATORS = ('unet', *RESNETS)
UNPAIRED = ('cyclegan', 'ugatit')
SIDED = ('folders', 'tarball', 'hub', 'night', 'emoji')  # sources of two sides, either of which may be the input
# What comes with this package; a method, net or source of your own may read any field.
OURS = {
  'method': ('pix2pix', *UNPAIRED),
  'gen.name': (*GENERATORS, 'ugatit'),
  'disc.name': ('patchgan', 'ugatit'),
  'data.name': ('earth', 'folders', 'cycle_gan', 'tarball', 'hub', 'night', 'emoji', 'labels'),
  'data.depth_a': (8, 16, 32),
  'data.depth_b': (8, 16, 32),
}
# Fields that some of these do not read: which field decides, and by which of its values.
READ_BY = {
  **{f'gen.{name}': ('gen.name', ('unet',)) for name in ('depth', 'max_width')},
  **{f'gen.{name}': ('gen.name', GENERATORS) for name in ('norm', 'dropout', 'upsample', 'padding', 'widths')},
  'gen.blocks': ('gen.name', (*RESNETS, 'ugatit')),
  **{f'gen.{name}': ('gen.name', RESNETS) for name in ('downsample', 'halvings')},
  **{f'gen.{name}': ('gen.name', ('pix2pixhd',)) for name in ('local', 'local_blocks', 'freeze_global_steps')},
  'gen.residual': ('gen.name', GENERATORS),
  'gen.light': ('gen.name', ('ugatit',)),
  'disc.padding': ('disc.name', ('patchgan',)),
  **{f'loss.{name}': ('method', UNPAIRED) for name in ('cycle_a', 'cycle_b', 'identity')},
  **{f'loss.{name}': ('method', ('pix2pix',)) for name in ('reconstruction', 'reconstruction_weight')},
  'pool': ('method', ('cyclegan',)),
  'data.size': ('data.name', ('earth', 'night')),
  'data.task': ('data.name', ('earth', 'cycle_gan')),
  'data.dir': ('data.name', ('earth', 'cycle_gan', 'tarball', 'hub')),
  'data.path': ('data.name', (*SIDED, 'labels')),
  'data.direction': ('data.name', SIDED),
  **{f'data.{name}': ('data.name', ('hub',)) for name in ('column_a', 'column_b')},
  'data.edges': ('data.name', ('labels',)),
  **{f'data.depth_{side}': ('data.name', ('folders',)) for side in 'ab'},
  **{f'data.range_{side}': (f'data.depth_{side}', (32,)) for side in 'ab'},
}


# What had another name in an older run's config, by the name in the same group.
RENAMED_FIELDS = {'loss.l1': 'reconstruction_weight'}

# What may stand after any config's colon, with its default; 0 and '' are resolved by `use_data`.
DATA = {'data': 'earth', 'task': '', 'size': 0, 'path': '', 'direction': '', 'runlocal': False}
OF_DATA = {
  'earth': ('task',),
  'cycle_gan': ('task',),
  **dict.fromkeys(('folder', 'tarball', 'hub', 'night', 'emoji'), ('path', 'direction')),
  'labels': ('path',),
}
SMALL = ('earth', 'night', 'emoji')  # pictures of 64 px, if no other size is asked for


def use_data(config: ConfigDict, args: ConfigDict, *, paired: bool, size: int = 256) -> None:
  """The data that `args` (of `parse_arg`, with the defaults DATA) ask for, and their sizes in px.

  Args:
    paired: whether the method learns from pairs. size: of images that are not small, where `args` name none.

  Raises:
    BadInput: unknown data, or an argument that is not for these data.
  """
  if args.data not in OF_DATA:
    raise BadInput(f"argument 'data': {args.data!r} is not known: {nearest(args.data, OF_DATA)}")
  for name in ('task', 'path', 'direction'):
    if args[name] and name not in OF_DATA[args.data]:
      owners = ' and '.join(f'data={data}' for data, names in OF_DATA.items() if name in names)
      raise BadInput(f"argument '{name}' is for {owners}, not for data={args.data}")
  if paired and args.data == 'cycle_gan':
    raise BadInput('data=cycle_gan: its sets have no pairs; take --config=cyclegan or ugatit')
  if not paired and args.data == 'labels':
    raise BadInput('data=labels: label images and photos are pairs; take --config=pix2pix or pix2pixhd')
  args.size = args.size or (64 if args.data in SMALL else size)
  config.data.paired = paired
  config.data.crop_size = (args.size, args.size)
  if args.data == 'earth':
    config.data.update({'name': 'earth', 'task': args.task or 'relief', 'size': args.size})
    config.data.load_size = (args.size * 9 // 8,) * 2  # cropped at random by an eighth
    config.data.flip = False  # the light comes from the west: a mirrored tile is wrong, and made scores worse
    return
  config.data.load_size = (round(args.size * 286 / 256),) * 2
  config.data.name = {'folder': 'folders'}.get(args.data, args.data)
  if args.data == 'cycle_gan':
    config.data.task = args.task or 'horse2zebra'
    return
  config.data.update({'path': args.path, 'direction': args.direction or 'ab'})
  if args.data == 'night':
    config.data.size = args.size
  if args.data == 'labels':
    config.data.update({'onehot': True, 'edges': True, 'channels_a': 36})  # 35 labels, as Cityscapes has


def is_small(args: ConfigDict) -> bool:
  """Whether small nets of our own are in place of the paper's: for small pictures below 256 px."""
  return args.data in SMALL and args.size < 256


def use_small(config: ConfigDict, *, batch_size: int, lr: float) -> None:
  """What all small nets of our own are trained with: larger batches and rates, an average, frequent scores."""
  config.batch_size = batch_size
  config.ema = 0.995
  config.optim.update({'lr': lr, 'per_epoch': False})
  config.log_every = 10
  config.health_every = 100
  config.eval_every = config.checkpoint_every = 250


def use_runlocal(config: ConfigDict, *, steps: int = 10, batch_size: int = 2, width: int = 4) -> None:
  """A version that ends within a minute on a laptop: small nets, small images, a few steps."""
  if max(config.data.crop_size) > 64:
    config.data.crop_size, config.data.load_size = (64, 64), (72, 72)
  config.steps = steps
  config.batch_size = min(config.batch_size, batch_size)
  config.gen.width = config.disc.width = width
  if config.gen.name == 'unet':
    config.gen.update({'max_width': 2 * width, 'depth': min(config.data.crop_size).bit_length() - 1})
  else:
    config.gen.blocks = 1
  config.log_every = 5
  config.eval_every = config.checkpoint_every = steps // 2


def parse_arg(arg: str, **defaults: Any) -> ConfigDict:
  """Reads 'task=relief,size=64,runlocal' after a config's colon into a ConfigDict of defaults' types.

  Raises:
    BadInput: an unknown name (with the nearest known one), or a value of another type.
  """
  values = dict(defaults)
  for item in filter(None, arg.split(',')):
    name, given, text = item.partition('=')
    if name not in defaults:
      raise BadInput(f"argument '{name}' is not known: {nearest(name, defaults)}")
    default = defaults[name]
    if isinstance(default, bool):
      if text not in ('', 'True', 'true', '1', 'False', 'false', '0'):
        raise BadInput(f"argument '{name}': {text!r} is neither true nor false")
      values[name] = text not in ('False', 'false', '0')
    else:
      if not given:
        raise BadInput(f"argument '{name}' needs a value: {name}={default}")
      try:
        values[name] = type(default)(text)
      except ValueError:
        raise BadInput(f"argument '{name}': {text!r:.40} is not {type(default).__name__}") from None
      if isinstance(default, int) and not 0 <= values[name] <= LARGEST:
        raise BadInput(f"argument '{name}' = {text:.40} must be from 0 to {LARGEST}")
  return ConfigDict(values)
