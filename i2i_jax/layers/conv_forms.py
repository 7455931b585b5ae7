"""Convolution in the forms that are fast: XLA's own on an accelerator, others on a CPU.

A convolution and its two gradients are three bilinear functions, and the gradients of each are the other two:

  convolve(x, w) = y        input_gradient(y, w) = x        kernel_gradient(x, y) = w

so that any derivative of any order stays among them, and each picks its form from static shapes alone. A transposed
convolution is `input_gradient`. XLA's CPU backend computes most of them at the rate of a matrix product, and some at
a tenth of it or less (`python -m experiments.speed` measures); those are rewritten here:

  small maps     as matrix products over a copy of the taps, where most of the time goes into moving the kernel.
  strides        as `stride * stride` convolutions without one, on the phases of the larger side.
  stride 1       by Winograd, where there are channels enough to pay for its transforms (winograd.py).
  few channels   out: 4 x 4 pixels at once, which makes 16 times as many channels; in the kernel's gradient: as a
                 matrix product with copies of the small side.
"""

import contextlib
import contextvars
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from i2i_jax.layers import winograd
from i2i_jax.layers.patches import Padding, positions, take

SMALL = 256  # positions on the small side, batch included, up to which a copy of the taps is cheap
FEW = 6  # channels that leave most of a matrix product's tile empty
MANY = 96  # channels on both sides, from which Winograd's transforms are cheap beside its products
BLOCK = 4  # pixels a side that are computed at once when there are few channels

_plain = contextvars.ContextVar('plain', default=False)


def is_plain() -> bool:
  return _plain.get()


@contextlib.contextmanager
def plain() -> Iterator[None]:
  """Traces what is within without any faster form: what those are checked and counted against."""
  token = _plain.set(True)
  try:
    yield
  finally:
    _plain.reset(token)


def convolve(x: jax.Array, kernel: jax.Array, stride: int = 1, padding: Padding = ((0, 0), (0, 0))) -> jax.Array:
  """Cross-correlation, as torch.nn.functional.conv2d.

  Args:
    x: [B, H, W, I]. kernel: [h, w, I, O]. padding: ((top, bottom), (left, right)) zeros; negative crops.

  Returns:
    [B, H', W', O] with H' = (H + top + bottom - h) // stride + 1.
  """
  return _convolve(stride, padding, x, kernel)


def input_gradient(y: jax.Array, kernel: jax.Array, stride: int, padding: Padding, size: Sequence[int]) -> jax.Array:
  """The transpose of `convolve` in x: y [B, H', W', O] to [B, *size, I]."""
  return _input_gradient(stride, padding, size, y, kernel)


def kernel_gradient(x: jax.Array, y: jax.Array, stride: int, padding: Padding, size: Sequence[int]) -> jax.Array:
  """The transpose of `convolve` in the kernel: x [B, H, W, I] and y [B, H', W', O] to [*size, I, O]."""
  return _kernel_gradient(stride, padding, size, x, y)


# ------------------------------------------------------------------------------- the three and their derivatives


def by_platform(fast: Callable, usual: Callable, *args: jax.Array) -> jax.Array:
  """`fast` where the program is lowered for a CPU, `usual` elsewhere."""
  return usual(*args) if is_plain() else lax.platform_dependent(*args, cpu=fast, default=usual)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _convolve(stride: int, padding: Padding, x: jax.Array, kernel: jax.Array) -> jax.Array:
  fast, usual = (functools.partial(f, stride=stride, padding=padding) for f in (fast_convolve, lax_convolve))
  return by_platform(fast, usual, x, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _input_gradient(stride: int, padding: Padding, size: Sequence[int], y: jax.Array, kernel: jax.Array) -> jax.Array:
  forms = fast_input_gradient, lax_input_gradient
  fast, usual = (functools.partial(f, stride=stride, padding=padding, size=size) for f in forms)
  return by_platform(fast, usual, y, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _kernel_gradient(stride: int, padding: Padding, size: Sequence[int], x: jax.Array, y: jax.Array) -> jax.Array:
  forms = fast_kernel_gradient, lax_kernel_gradient
  fast, usual = (functools.partial(f, stride=stride, padding=padding, size=size) for f in forms)
  return by_platform(fast, usual, x, y)


def _convolve_bwd(stride: int, padding: Padding, saved: tuple, y: jax.Array) -> tuple[jax.Array, jax.Array]:
  x, kernel = saved
  return (
    _input_gradient(stride, padding, x.shape[1:3], y, kernel),
    _kernel_gradient(stride, padding, kernel.shape[:2], x, y),
  )


def _input_gradient_bwd(
  stride: int, padding: Padding, size: Sequence[int], saved: tuple, x: jax.Array
) -> tuple[jax.Array, jax.Array]:
  y, kernel = saved
  del size
  return _convolve(stride, padding, x, kernel), _kernel_gradient(stride, padding, kernel.shape[:2], x, y)


def _kernel_gradient_bwd(
  stride: int, padding: Padding, size: Sequence[int], saved: tuple, kernel: jax.Array
) -> tuple[jax.Array, jax.Array]:
  x, y = saved
  del size
  return _input_gradient(stride, padding, x.shape[1:3], y, kernel), _convolve(stride, padding, x, kernel)


_convolve.defvjp(lambda s, p, x, kernel: (_convolve(s, p, x, kernel), (x, kernel)), _convolve_bwd)
_input_gradient.defvjp(
  lambda s, p, size, y, kernel: (_input_gradient(s, p, size, y, kernel), (y, kernel)), _input_gradient_bwd
)
_kernel_gradient.defvjp(lambda s, p, size, x, y: (_kernel_gradient(s, p, size, x, y), (x, y)), _kernel_gradient_bwd)

# ---------------------------------------------------------------------------------------------- XLA's own forms


def lax_convolve(x: jax.Array, kernel: jax.Array, *, stride: int, padding: Sequence[tuple[int, int]]) -> jax.Array:
  return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=('NHWC', 'HWIO', 'NHWC'))


def lax_input_gradient(
  y: jax.Array, kernel: jax.Array, *, stride: int, padding: Padding, size: Sequence[int]
) -> jax.Array:
  x = jax.ShapeDtypeStruct((len(y), *size, kernel.shape[2]), y.dtype)
  return jax.linear_transpose(lambda x: lax_convolve(x, kernel, stride=stride, padding=padding), x)(y)[0]


def lax_kernel_gradient(
  x: jax.Array, y: jax.Array, *, stride: int, padding: Padding, size: Sequence[int]
) -> jax.Array:
  kernel = jax.ShapeDtypeStruct((*size, x.shape[-1], y.shape[-1]), x.dtype)
  return jax.linear_transpose(lambda k: lax_convolve(x, k, stride=stride, padding=padding), kernel)(y)[0]


# ----------------------------------------------------------------------------------------- the forms for a CPU


def fast_convolve(x: jax.Array, kernel: jax.Array, *, stride: int, padding: Padding) -> jax.Array:
  (height, width, _, outputs), batch = kernel.shape, len(x)
  rows, cols = (
    (n + sum(pad) - k) // stride + 1 for n, pad, k in zip(x.shape[1:3], padding, kernel.shape[:2], strict=True)
  )
  if 0 < batch * rows * cols <= SMALL:
    taps = tap_columns(x, (rows, cols), stride, padding, (height, width))
    return (taps @ kernel.reshape(-1, outputs)).reshape(batch, rows, cols, outputs)
  if outputs <= FEW and stride == 1 and height * width > 1:
    return convolve_blocks(x, kernel, padding, (rows, cols))
  if stride == 1 and by_winograd(x, kernel.shape):
    return winograd.convolve(x, kernel, padding, (rows, cols))
  return lax_convolve(x, kernel, stride=stride, padding=padding)


def fast_input_gradient(
  y: jax.Array, kernel: jax.Array, *, stride: int, padding: Padding, size: Sequence[int]
) -> jax.Array:
  inputs = kernel.shape[2]
  small = math.prod(y.shape[:3]) <= SMALL
  if inputs <= FEW and stride > 1 and not small:
    return lax_input_gradient(y, kernel, stride=stride, padding=padding, size=size)

  rows, cols = (-(-n // stride) for n in size)
  row_phases = phases(kernel.shape[0], stride, padding[0][0], y.shape[1], rows)
  col_phases = phases(kernel.shape[1], stride, padding[1][0], y.shape[2], cols)
  if small:  # [h, w, B, H', W', I]: what each pixel adds to the image under each tap
    spread = jnp.einsum('po,hwio->hwpi', y.reshape(-1, y.shape[-1]), kernel)
    spread = spread.reshape(*kernel.shape[:2], *y.shape[:3], inputs)

  out = []
  for (row_taps, row_pad), (col_taps, col_pad) in itertools.product(row_phases, col_phases):
    if not (row_taps and col_taps):
      out.append(jnp.zeros((len(y), rows, cols, inputs), y.dtype))
    elif small:
      out.append(gather(spread, row_taps, row_pad, col_taps, col_pad))
    else:
      part = kernel[row_taps[0] :: stride, col_taps[0] :: stride][::-1, ::-1].swapaxes(2, 3)
      out.append(fast_convolve(y, part, stride=1, padding=(row_pad, col_pad)))
  x = interleave(jnp.stack(out, 3).reshape(len(y), rows, cols, stride, stride, inputs))
  return x[:, : size[0], : size[1]]


def gather(
  spread: jax.Array, row_taps: list[int], row_pad: tuple[int, int], col_taps: list[int], col_pad: tuple[int, int]
) -> jax.Array:
  """Adds up what the taps of one phase give, each shifted to where it belongs: [h, w, B, ...] to [B, H, W, I]."""

  def shifted(pad, taps, i):
    return pad[0] - i, pad[1] + i - len(taps) + 1

  parts = itertools.product(enumerate(reversed(row_taps)), enumerate(reversed(col_taps)))
  return sum(
    zero_pad(spread[row, col], (shifted(row_pad, row_taps, i), shifted(col_pad, col_taps, j)))
    for (i, row), (j, col) in parts
  )


def fast_kernel_gradient(
  x: jax.Array, y: jax.Array, *, stride: int, padding: Padding, size: Sequence[int]
) -> jax.Array:
  batch, rows, cols, outputs = y.shape
  inputs = x.shape[-1]
  if batch * rows * cols <= SMALL:
    taps = tap_columns(x, (rows, cols), stride, padding, size)
    return (taps.T @ y.reshape(-1, outputs)).reshape(*size, inputs, outputs)
  if stride == 1 and outputs <= FEW:
    return kernel_gradient_few_outputs(x, y, padding, size)
  if stride == 1 and by_winograd(x, (*size, inputs, outputs)):
    return winograd.kernel_gradient(x, y, padding, size[0])
  if stride == 1:
    return lax_kernel_gradient(x, y, stride=stride, padding=padding, size=size)

  x, parts = zero_pad(x, padding), []
  most = [-(-n // stride) for n in size]  # taps of a phase
  for row, col in itertools.product(range(stride), repeat=2):
    tall, wide = (len(range(first, n, stride)) for first, n in zip((row, col), size, strict=True))
    part = jnp.zeros((tall, wide, inputs, outputs), x.dtype)
    if tall and wide:
      seen = window(x, row, col, (rows + tall - 1, cols + wide - 1), stride)
      part = lax_kernel_gradient(seen, y, stride=1, padding=((0, 0), (0, 0)), size=(tall, wide))
    parts.append(jnp.pad(part, ((0, most[0] - tall), (0, most[1] - wide), (0, 0), (0, 0))))
  kernel = interleave(jnp.stack(parts, 2).reshape(1, *most, stride, stride, inputs * outputs))
  return kernel.reshape(*kernel.shape[1:3], inputs, outputs)[: size[0], : size[1]]


def by_winograd(x: jax.Array, kernel_shape: tuple[int, ...]) -> bool:
  height, width, *channels = kernel_shape
  return height == width and height in winograd.KERNELS and min(channels) >= MANY and x.dtype != jnp.bfloat16


def fast_in_loops(x: jax.Array) -> bool:
  """Whether 3 x 3 convolutions that keep the shape of `x` [B, H, W, C] may stand in a loop, like lax.scan's.

  XLA's CPU backend runs its own convolutions there at a tenth of their speed; matrix products it does not slow down.
  The precision does not count: an accelerator minds no loop.
  """
  return math.prod(x.shape[:3]) <= SMALL or x.shape[-1] >= MANY


def zero_pad(x: jax.Array, padding: Padding) -> jax.Array:
  """Pads height and width of [B, H, W, C] by ((top, bottom), (left, right)); negative crops."""
  return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (*padding[0], 0), (*padding[1], 0), (0, 0, 0)))


def window(x: jax.Array, row: int, col: int, size: Sequence[int], stride: int) -> jax.Array:
  """Every stride-th pixel of [B, H, W, C] from (row, col) on: [B, *size, C]."""
  stop = [start + stride * (n - 1) + 1 for start, n in zip((row, col), size, strict=True)]
  return x[:, row : stop[0] : stride, col : stop[1] : stride]


def tap_columns(
  x: jax.Array, out_size: Sequence[int], stride: int, padding: Padding, size: Sequence[int]
) -> jax.Array:
  """[B, H, W, I] to [B H' W', h w I]: what a kernel of `size` sees at each of its positions."""
  at = positions(x.shape, size, stride, out_size, before=[first for first, _ in padding])
  return take(x, at.T).reshape(at.shape[1], len(at) * x.shape[-1])


def phases(taps: int, stride: int, padding: int, n_in: int, n_out: int) -> list[tuple[list[int], tuple[int, int]]]:
  """Of a transposed convolution along one axis: for outputs stride * j + phase, which of the kernel's `taps` reach
  them, and the padding of the input that lines tap and output up."""
  out = []
  for phase in range(stride):
    first = (phase + padding) % stride
    reach = list(range(first, taps, stride))
    shift = (phase + padding - first) // stride
    out.append((reach, (len(reach) - 1 - shift, n_out + shift - n_in)))
  return out


def interleave(parts: jax.Array) -> jax.Array:
  """[B, H, W, s, s, C], the pixels of s x s blocks, to [B, s H, s W, C]."""
  batch, rows, cols, stride, _, channels = parts.shape
  return parts.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * stride, cols * stride, channels)


def convolve_blocks(x: jax.Array, kernel: jax.Array, padding: Padding, out_size: Sequence[int]) -> jax.Array:
  """A convolution of stride BLOCK that puts out BLOCK x BLOCK pixels, stacked in channels, at each position."""
  height, width, inputs, outputs = kernel.shape
  tall, wide = height + BLOCK - 1, width + BLOCK - 1
  at = positions((1, height, width), (BLOCK, BLOCK), 1, (tall, wide), before=(BLOCK - 1, BLOCK - 1))[::-1]
  stacked = take(kernel.reshape(1, height, width, inputs * outputs), at.T)
  stacked = stacked.reshape(tall, wide, BLOCK * BLOCK, inputs, outputs).swapaxes(2, 3)
  stacked = stacked.reshape(tall, wide, inputs, BLOCK * BLOCK * outputs)
  fill = [(before, after + -n % BLOCK) for (before, after), n in zip(padding, out_size, strict=True)]
  y = lax_convolve(x, stacked, stride=BLOCK, padding=fill)
  return interleave(y.reshape(*y.shape[:3], BLOCK, BLOCK, outputs))[:, : out_size[0], : out_size[1]]


def kernel_gradient_few_outputs(x: jax.Array, y: jax.Array, padding: Padding, size: Sequence[int]) -> jax.Array:
  """A matrix product for each row of the kernel, over copies of y shifted by its columns."""
  x = zero_pad(x, padding)
  _, rows, cols, outputs = y.shape
  (height, width), inputs = x.shape[1:3], x.shape[-1]
  pixels = x.reshape(-1, inputs)

  def row(i):
    shifted = [zero_pad(y, ((i, height - rows - i), (j, width - cols - j))) for j in range(size[1])]
    columns = jnp.concatenate(shifted, axis=-1).reshape(-1, size[1] * outputs)
    return (columns.T @ pixels).reshape(size[1], outputs, inputs)

  return jnp.stack([row(i) for i in range(size[0])]).swapaxes(2, 3)
