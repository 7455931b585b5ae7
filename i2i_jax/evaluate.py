"""Scores a run's checkpoint on a split, beside three baselines measured on the same images.

  i2i evaluate --workdir=runs/x --split=test
  i2i evaluate --workdir=runs/x --protocol=lite0          # and by EfficientNet-Lite0's features
  i2i evaluate --workdir=runs/x --protocol=cut --weights=pt_inception-2015-12-05-6726825d.pth

Writes WORKDIR/eval_SPLIT.json and a folder WORKDIR/eval_SPLIT/ of pictures, and prints a table. A method that learns
both directions, like cyclegan, is scored from B to A with --direction=ba, into eval_SPLIT_ba.json; another protocol
than `pixel` into eval_SPLIT_PROTOCOL.json.

A protocol fixes all that two numbers must share to be compared: metrics, the net and the filter by which images reach
it, which images, dropout and batch norm. `pixel`: images resized to config.data.crop_size, no crop and no flip (with
config.data.fit=cover the middle of them); outputs clipped to [-1, 1]; L1 in that range (0 to 2), PSNR with its width
as the peak, SSIM with an 11 px Gaussian window; means over images; sliced Wasserstein distance (SWD) of patches, and
energy by band against the targets', of the split as a whole. docs/metrics.md has all metrics and protocols.

The baselines are fitted on the training split: copy the input, the mean colour, and, where it has pairs, linear
regression on each pixel's 5x5 neighbourhood. --apart adds a row each for the last weights, where the run keeps an
average of them, and for the checkpoint that was best on validation. No option chooses a checkpoint on the images that
it is then scored on.
"""

from argparse import Namespace

from i2i_jax import cli, options
from i2i_jax.evaluation import chosen, scoring
from i2i_jax.runtime import precision


def main(args: Namespace | None = None) -> None:
  args = args or options.evaluate()
  precision.enable(args.precision)
  step, how = chosen.step_of(args.workdir, args.step, args.split)
  result = scoring.evaluate(
    args.workdir,
    args.split,
    step,
    args.direction,
    protocol=args.protocol,
    weights=tuple(args.weights),
    chosen=how,
    others=chosen.others(args.workdir, step, args.split) if args.apart else {},
    again=args.again,
  )
  print(scoring.table(result))


if __name__ == '__main__':
  cli.run(main)
