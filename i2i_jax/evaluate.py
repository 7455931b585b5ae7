"""Scores a run's checkpoint on a split, beside three baselines measured on the same images.

  i2i evaluate --workdir=runs/x --split=test

Writes WORKDIR/eval_SPLIT.json and a folder WORKDIR/eval_SPLIT/ of pictures, and prints a table. A method that learns
both directions, like cyclegan, is scored from B to A with --direction=ba, into eval_SPLIT_ba.json. The protocol,
`pixel`: images resized to config.data.crop_size, no crop and no flip (with config.data.fit=cover the middle of them);
outputs clipped to [-1, 1]; L1 in that range (0 to 2), PSNR with its width as the peak, SSIM with an 11 px Gaussian
window; the mean over images. The baselines are fitted on the training split: copy the input, the mean colour, and,
where it has pairs, linear regression on each pixel's 5x5 neighbourhood.
"""

from i2i_jax import cli, data
from i2i_jax.evaluation import chosen, scoring


def main() -> None:
  parser = cli.parser(__doc__, 'evaluate')
  cli.run_options(parser)
  parser.add_argument('--split', default='test', choices=data.SPLITS, help='default: test')
  parser.add_argument('--again', action='store_true', help='score once more what is scored already')
  args = cli.parse_run(parser)
  step, how = chosen.step_of(args.workdir, args.step, args.split)
  result = scoring.evaluate(args.workdir, args.split, step, args.direction, chosen=how, again=args.again)
  print(scoring.table(result))


if __name__ == '__main__':
  cli.run(main)
