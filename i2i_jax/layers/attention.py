"""Attention blocks. A class of this file is a kind: its name in lower case is what a config calls it.

`config.gen.attention = {'down3': 'sagan', 'skip2': 'gate', 'bottleneck': 'vit(blocks=4, heads=4)'}` puts blocks at
the named stages of a net; on a command line `--config.gen.attention='down3=sagan; skip2=gate'`. A block's fields are
the arguments of its kind. A block is called with

  x:             [B, H, W, C].
  signal:        [B, H, W, C'], what a skip is about to be joined with; None elsewhere.
  running_stats: as of every net.

and returns (y, out): y of x's shape, and out a dict that may hold `map` [B, H, W], larger where the block looks more
(of softmax attention: what each pixel is given by all others), and `logits` [B, n] of an auxiliary classifier. What
has no use for `signal` or `running_stats` takes them as **_.
"""

import ast
import functools
import math
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from i2i_jax.errors import BadInput, choice
from i2i_jax.layers.conv import Conv
from i2i_jax.layers.norm import Norm, per_channel, spectral_normalise
from i2i_jax.runtime.precision import storage_dtype

SMALLEST = 8  # channels of a bottleneck: fewer ReLUs may all be dead from the start


class SAGAN(nn.Module):
  """Self-attention with keys and values pooled 2x2; `gamma` starts from 0, so the block from the identity.

  Zhang et al., Self-Attention Generative Adversarial Networks, ICML 2019; non_local.py of
  brain-research/self-attention-gan. Maps of less than 4 px a side are not pooled.
  """

  spectral: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, *, running_stats: bool, **_: object) -> tuple[jax.Array, dict]:
    batch, height, width, channels = x.shape
    narrow, half = max(channels // 8, 1), max(channels // 2, 1)
    pooled = min(height, width) >= 4

    def project(name, x, features):
      spectral = {'spectral': self.spectral, 'running_stats': running_stats}
      return Conv(features, 1, use_bias=False, kernel_init=fan_in, name=name, **spectral)(x)

    def pool(x):
      return nn.max_pool(x, (2, 2), (2, 2), 'SAME') if pooled else x

    query, key = project('query', x, narrow), pool(project('key', x, narrow))
    value = pool(project('value', x, half))
    q, k, v = (y.reshape(batch, -1, 1, y.shape[-1]) for y in (query, key, value))
    y, seen = softmax_attention(q, k, v, scale=1.0)
    y, seen = y.reshape(batch, height, width, half), seen.reshape(key.shape[:3])
    gamma = self.param('gamma', nn.initializers.zeros, (), jnp.float32)
    if pooled:
      seen = seen.repeat(2, 1).repeat(2, 2)[:, :height, :width]
    return x + gamma.astype(x.dtype) * project('output', y, channels), {'map': seen}


class SE(nn.Module):
  """Squeeze-and-excitation: channels weighted by what their means say. It has no map.

  Hu et al., Squeeze-and-Excitation Networks, CVPR 2018.
  """

  reduction: int = 16
  smallest: int = SMALLEST  # of the hidden channels; 1 is the paper's

  @nn.compact
  def __call__(self, x: jax.Array, **_: object) -> tuple[jax.Array, dict]:
    hidden = nn.relu(linear('squeeze', x.mean((1, 2)), max(x.shape[-1] // self.reduction, self.smallest)))
    return x * nn.sigmoid(linear('excite', hidden, x.shape[-1]))[:, None, None], {}


class CBAM(nn.Module):
  """Channels, then places, weighted by what their means and maxima say.

  Woo et al., CBAM: Convolutional Block Attention Module, ECCV 2018. As the paper has it: the authors' code adds a
  batch norm of the map.
  """

  reduction: int = 16
  kernel: int = 7
  smallest: int = SMALLEST  # of the hidden channels; 1 is the paper's

  @nn.compact
  def __call__(self, x: jax.Array, **_: object) -> tuple[jax.Array, dict]:
    if self.kernel % 2 == 0:
      raise BadInput(f'cbam(kernel={self.kernel}): a kernel of even size would shift the map; give an odd one')
    channels = x.shape[-1]
    ends = jnp.stack([x.mean((1, 2)), x.max((1, 2))])
    hidden = linear('squeeze', ends, max(channels // self.reduction, self.smallest))
    x = x * nn.sigmoid(linear('excite', nn.relu(hidden), channels).sum(0))[:, None, None]
    ends = jnp.stack([x.mean(-1), x.max(-1)], -1)
    seen = nn.sigmoid(
      Conv(1, self.kernel, 1, self.kernel // 2, use_bias=False, kernel_init=fan_in, name='spatial')(ends)
    )
    return x * seen, {'map': seen[..., 0]}


class Gate(nn.Module):
  """An additive gate on a skip: what the decoder has is asked what of the encoder's to let through.

  y = x * sigmoid(psi(relu(W x + V signal))). Oktay et al., Attention U-Net, MIDL 2018; there the signal is one stage
  coarser and is scaled up, here the decoder has done so. Where there is no signal the gate asks x itself. With
  `output` y goes through a 1x1 convolution and batch norm, as in GridAttentionBlock2D of
  ozan-oktay/Attention-Gated-Networks (models/layers/grid_attention_layer.py).
  """

  output: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, *, signal: jax.Array, running_stats: bool, **_: object) -> tuple[jax.Array, dict]:
    inner = max(x.shape[-1] // 2, SMALLEST)
    signal = x if signal is None else signal
    joined = linear('skip', x, inner, use_bias=False) + linear('signal', signal, inner)
    seen = nn.sigmoid(linear('psi', nn.relu(joined), 1))
    y = x * seen
    if self.output:
      y = Norm('batch', running_stats, name='norm')(linear('output', y, x.shape[-1]))
    return y, {'map': seen[..., 0]}


class CAM(nn.Module):
  """Features weighted by two linear classifiers, of their means and of their maxima, and mixed by a 1x1 convolution.

  The classifiers' logits [B, 2] are for an auxiliary loss, which makes the weights mean something: `config.loss.cam`
  in a generator, the adversarial objective in a discriminator. Kim et al., U-GAT-IT, ICLR 2020; networks.py of
  znxlwm/UGATIT-pytorch. There the weights of a discriminator's features are not those of its spectral norm.
  """

  slope: float = 0.0  # of the leaky ReLU: U-GAT-IT has 0 in generators, 0.2 in discriminators
  spectral: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, *, running_stats: bool, **_: object) -> tuple[jax.Array, dict]:
    channels, weighted, logits = x.shape[-1], [], []
    for name, pooled in (('mean', x.mean((1, 2))), ('max', x.max((1, 2)))):
      kernel = self.param(name, fan_in, (channels, 1), jnp.float32)
      weighted.append(x * per_channel(kernel).astype(x.dtype))
      if self.spectral:
        kernel = spectral_normalise(self, kernel, running_stats=running_stats, name=f'{name}_u')
      logits.append(pooled @ kernel.astype(x.dtype))
    y = nn.leaky_relu(linear('mix', jnp.concatenate(weighted, -1), channels), self.slope)
    return y, {'map': y.sum(-1), 'logits': jnp.concatenate(logits, -1)}


class ViT(nn.Module):
  """A transformer whose tokens are the pixels, with a learnt sine embedding of places, between two linear layers.

  Torbunov et al., UVCGAN: UNet Vision Transformer cycle-consistent GAN, WACV 2023; PixelwiseViT of LS4GAN/uvcgan2
  (without its style token). One ReZero scale a block, from 0: the transformer starts from the identity, the linear
  layers around it do not.
  """

  blocks: int = 4
  heads: int = 4
  ratio: int = 4  # of the feed-forward layers' width

  @nn.compact
  def __call__(self, x: jax.Array, **_: object) -> tuple[jax.Array, dict]:
    batch, height, width, channels = x.shape
    rows, cols = (jnp.linspace(-1, 1, n, dtype=x.dtype) if n > 1 else -jnp.ones(1, x.dtype) for n in (height, width))
    places = jnp.stack(jnp.meshgrid(cols, rows), -1).reshape(1, -1, 2)
    embedding = jnp.sin(linear('places', places, channels)).repeat(batch, 0)
    x = linear('input', jnp.concatenate([embedding, x.reshape(batch, -1, channels)], -1), channels)
    seen = x
    for i in range(self.blocks):
      alpha = self.param(f'alpha{i}', nn.initializers.zeros, (), jnp.float32).astype(x.dtype)
      y, seen = self_attention(f'block{i}_', layer_norm(f'block{i}_norm0', x), self.heads)
      x = x + alpha * y
      x = x + alpha * feed_forward(f'block{i}_', layer_norm(f'block{i}_norm1', x), self.ratio)
    y = linear('output', x, channels).reshape(batch, height, width, channels)
    return y, {'map': seen.reshape(batch, height, width)}


class Window(nn.Module):
  """Self-attention within windows of size x size px, with a bias by relative place, and a feed-forward layer.

  Both residual and on layer-normed features. Tu et al., MaxViT: Multi-Axis Vision Transformer, ECCV 2022 (its block
  attention). Where `size` does not divide the map, the last windows hold fewer pixels.
  """

  size: int = 8
  heads: int = 4
  ratio: int = 4

  @nn.compact
  def __call__(self, x: jax.Array, **_: object) -> tuple[jax.Array, dict]:
    return in_groups(self, x, grid=False)


class Grid(nn.Module):
  """Self-attention among size x size pixels spread evenly over the map; else as Window.

  MaxViT's grid attention; Tu et al., MAXIM, CVPR 2022 has the same axes with MLPs.
  """

  size: int = 8
  heads: int = 4
  ratio: int = 4

  @nn.compact
  def __call__(self, x: jax.Array, **_: object) -> tuple[jax.Array, dict]:
    return in_groups(self, x, grid=True)


# -------------------------------------------------------------------------------------------- what blocks are made of


def fan_in(key: jax.Array, shape: tuple[int, ...], dtype: jax.typing.DTypeLike) -> jax.Array:
  """torch.nn.Linear's and Conv2d's own init: uniform within 1 / sqrt(fan in)."""
  return nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')(key, shape, dtype)


def linear(name: str, x: jax.Array, features: int, use_bias: bool = True) -> jax.Array:
  """torch.nn.Linear over the last axis, with its init."""
  bound = x.shape[-1] ** -0.5
  bias_init = lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)  # noqa: E731
  return nn.Dense(features, use_bias, x.dtype, kernel_init=fan_in, bias_init=bias_init, name=name)(x)


def layer_norm(name: str, x: jax.Array) -> jax.Array:
  return nn.LayerNorm(epsilon=1e-5, dtype=x.dtype, use_fast_variance=False, name=name)(x)


def feed_forward(prefix: str, x: jax.Array, ratio: int) -> jax.Array:
  hidden = nn.gelu(linear(f'{prefix}hidden', x, ratio * x.shape[-1]), approximate=False)
  return linear(f'{prefix}ffn', hidden, x.shape[-1])


def self_attention(
  prefix: str, x: jax.Array, heads: int, bias: jax.Array | None = None, mask: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
  """Multi-head attention among tokens x [B, T, C]: ([B, T, C], what each token is given [B, T]).

  Keys have no bias: softmax would cancel it.
  """
  batch, tokens, channels = x.shape
  if channels % heads:
    fitting = [h for h in range(1, min(channels, 16) + 1) if channels % h == 0]
    raise BadInput(f'{channels} channels cannot be split over heads={heads}; heads may be {fitting}')
  q, k, v = (
    linear(f'{prefix}{name}', x, channels, name != 'key').reshape(batch, tokens, heads, -1)
    for name in ('query', 'key', 'value')
  )
  y, seen = softmax_attention(q, k, v, q.shape[-1] ** -0.5, bias, mask)
  return linear(f'{prefix}output', y.reshape(x.shape), channels), seen


def softmax_attention(
  q: jax.Array, k: jax.Array, v: jax.Array, scale: float, bias: jax.Array | None = None, mask: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
  """softmax(scale q k^T + bias) v for queries [B, Q, heads, D], keys [B, T, heads, D] and values [B, T, heads, V].

  The softmax is in float32 at least and in float64 if asked for, where jax.nn.dot_product_attention's is in float32
  always.

  Returns:
    [B, Q, heads, V], and what keys are given by all queries, the mean over heads: [B, T]; 1 where none is preferred.
  """
  logits = scale * jnp.einsum('bqhd,bkhd->bhqk', q, k, preferred_element_type=storage_dtype(q.dtype))
  if bias is not None:
    logits += bias
  weights = jax.nn.softmax(logits, -1, where=mask)
  y = jnp.einsum('bhqk,bkhd->bqhd', weights.astype(v.dtype), v)
  if mask is not None:  # padding asks for nothing either
    weights *= mask.swapaxes(2, 3)
  return y, weights.sum(2).mean(1) * (k.shape[1] / q.shape[1])


def in_groups(block: nn.Module, x: jax.Array, grid: bool) -> tuple[jax.Array, dict]:
  """Window's and Grid's arithmetic: attention among size^2 pixels, then a feed-forward layer."""
  batch, height, width, _ = x.shape
  size, heads = block.size, block.heads
  rows, cols = -(-height // size), -(-width // size)
  padding = (0, rows * size - height), (0, cols * size - width)
  # A group's pixels lie side by side, or a group apart.
  split = (size, rows, size, cols) if grid else (rows, size, cols, size)
  order = (0, 2, 4, 1, 3, 5) if grid else (0, 1, 3, 2, 4, 5)

  def group(x):
    """[B, H, W, C] to [B * rows * cols, size^2, C]."""
    x = jnp.pad(x, ((0, 0), *padding, (0, 0))).reshape(x.shape[0], *split, x.shape[-1])
    return x.transpose(order).reshape(-1, size * size, x.shape[-1])

  def ungroup(x):
    shape = [batch, *split, x.shape[-1]]
    x = x.reshape([shape[i] for i in order]).transpose([order.index(i) for i in range(6)])
    return x.reshape(batch, rows * size, cols * size, -1)[:, :height, :width]

  places = jnp.stack(jnp.meshgrid(jnp.arange(size), jnp.arange(size), indexing='ij'), -1).reshape(-1, 2)
  apart = places[:, None] - places[None] + size - 1
  table = block.param('bias', nn.initializers.normal(0.02), (heads, (2 * size - 1) ** 2), jnp.float32)
  bias = table[:, apart[..., 0] * (2 * size - 1) + apart[..., 1]][None].astype(x.dtype)
  mask = None
  if any(end for _, end in padding):
    mask = group(jnp.ones((batch, height, width, 1), bool))[:, None, None, :, 0]
  y, seen = self_attention('', group(layer_norm('norm0', x)), heads, bias, mask)
  x = x + ungroup(y)
  return x + feed_forward('', layer_norm('norm1', x), block.ratio), {'map': ungroup(seen[..., None])[..., 0]}


# ----------------------------------------------------------------------------------------------- from a config's text


def kinds() -> dict[str, type[nn.Module]]:
  """The blocks of this file, by their names in lower case."""
  return {
    name.lower(): value
    for name, value in globals().items()
    if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == __name__
  }


def parse(value: Any, stages: list[str], where: str) -> dict[str, functools.partial]:
  """The blocks at the stages of a net.

  Args:
    value: a config's field: {'down3': 'sagan'} or 'down3=sagan; skip2=gate'; empty for none.
    stages: those that the net has. where: the field's name, for errors.

  Raises:
    BadInput: an unknown stage, kind or argument (with the nearest name), or a value of another type.
  """
  if isinstance(value, str):
    parts = [part.partition('=') for part in value.split(';') if part.strip()]
    if bare := [stage.strip() for stage, equals, _ in parts if not equals]:
      raise BadInput(f"{where}: {bare[0]!r} lacks its kind; write it like 'down1=sagan; skip2=gate'")
    items = [(stage.strip(), spec) for stage, _, spec in parts]
  elif hasattr(value, 'items'):
    items = list(value.items())
  else:
    raise BadInput(f"{where} = {value!r} must be like 'down1=sagan; skip2=gate', or a dict {{'down1': 'sagan'}}")
  blocks = {}
  for stage, spec in items:
    choice(f'{where}: stage', stage, stages)
    if stage in blocks:
      raise BadInput(f'{where}: stage {stage!r} is given twice')
    blocks[stage] = block(spec, f'{where}: {stage}')
  return blocks


def block(spec: str, where: str) -> functools.partial:
  """The block of a spec like 'vit(blocks=4, heads=4)', still to be given its name."""
  try:
    with warnings.catch_warnings(action='error'):  # of Python about odd syntax
      call: Any = ast.parse(str(spec).strip(), mode='eval').body
    name, given = (call.id, []) if isinstance(call, ast.Name) else (call.func.id, call.keywords)
    arguments = {argument.arg: ast.literal_eval(argument.value) for argument in given}
    if getattr(call, 'args', None) or len(arguments) < len(given) or len(spec) > 500:
      raise ValueError
  except (SyntaxError, ValueError, AttributeError, TypeError, RecursionError, MemoryError):
    raise BadInput(
      f"{where} = {str(spec)[:80]!r} is not of the form 'cbam' or 'cbam(reduction=8, kernel=5)'"
    ) from None
  kind = kinds()[choice(where, name, kinds())]
  fields = {f.name: f.default for f in kind.__dataclass_fields__.values() if f.name not in ('name', 'parent')}
  for argument, value in arguments.items():
    default = fields[choice(f'{where}: argument of {name}', argument, fields)]
    if isinstance(default, float) and type(value) is int:
      value = arguments[argument] = float(value)
    least = {int: 1, float: 0.0, bool: False}[type(default)]
    if type(value) is not type(default) or not least <= value < math.inf:
      raise BadInput(
        f'{where}: {name}({argument}={value!r}) must be of type {type(default).__name__}, from {least} on'
      )
  return functools.partial(kind, **arguments)


def apply(
  blocks: Mapping, out: dict, stage: str, x: jax.Array, signal: jax.Array | None = None, *, running_stats: bool
) -> jax.Array:
  """`x` through the block at `stage`, if there is one; notes its map and logits in a net's `out`.

  They come to lie in out['attention'] and out['cam'], by stage.
  """
  if stage not in blocks:
    return x
  try:
    y, found = blocks[stage](name=f'{stage}_attention')(x, signal=signal, running_stats=running_stats)
  except BadInput as error:
    raise BadInput(f'attention at {stage}: {error}') from None
  for key, kind in (('attention', 'map'), ('cam', 'logits')):
    if kind in found:
      out.setdefault(key, {})[stage] = found[kind]
  return y.astype(x.dtype)


def has_cam(net: nn.Module) -> bool:
  """Whether a net puts out class activation maps' logits, for which there is a loss."""
  return any(part.func is CAM for part in getattr(net, 'attention', {}).values())
