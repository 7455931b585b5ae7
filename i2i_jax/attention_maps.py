"""Where a trained generator looks: the maps of its attention blocks, drawn over the images that it makes.

  i2i attention_maps --workdir=runs/x --split=test

Writes WORKDIR/attention_SPLIT.png: a row an image, with the input, the output, and the output under each map (dark
blue where the block looks least, yellow where most; each map by its own range). With --direction=ba from B to A.
Training draws the same of validation images, into WORKDIR/attention/.
"""

from argparse import Namespace

from i2i_jax import cli, options
from i2i_jax.evaluation import chosen
from i2i_jax.inference import attention
from i2i_jax.runtime import precision


def main(args: Namespace | None = None) -> None:
  args = args or options.attention_maps()
  precision.enable(args.precision)
  step, _ = chosen.step_of(args.workdir, args.step)
  attention.draw(args.workdir, args.split, args.direction, args.count, step)


if __name__ == '__main__':
  cli.run(main)
