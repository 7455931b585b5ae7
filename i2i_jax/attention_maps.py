"""Where a trained generator looks: the maps of its attention blocks, drawn over the images that it makes.

  i2i attention_maps --workdir=runs/x --split=test

Writes WORKDIR/attention_SPLIT.png: a row an image, with the input, the output, and the output under each map (dark
blue where the block looks least, yellow where most; each map by its own range). With --direction=ba from B to A.
Training draws the same of validation images, into WORKDIR/attention/.
"""

from i2i_jax import cli, data
from i2i_jax.evaluation import chosen
from i2i_jax.inference import attention


def main() -> None:
  parser = cli.parser(__doc__, 'attention_maps')
  cli.run_options(parser)
  parser.add_argument('--split', default='test', choices=data.SPLITS, help='default: test')
  parser.add_argument('--count', type=int, default=6, help='images drawn; default: 6')
  args = cli.parse_run(parser)
  step, _ = chosen.step_of(args.workdir, args.step)
  attention.draw(args.workdir, args.split, args.direction, args.count, step)


if __name__ == '__main__':
  cli.run(main)
