"""The page of a run: one self-contained HTML file, made of whatever the run has written so far.

  i2i report --workdir=runs/x

It shows test pictures with a slider from input over output to target, the scores beside the baselines, loss
curves to hover, the validation pictures over time, the config, and the command that runs it again.
"""

from argparse import Namespace

from i2i_jax import cli, options
from i2i_jax.pages import report


def main(args: Namespace | None = None) -> None:
  args = args or options.report()
  print(f'page: {report.write(args.workdir)}')


if __name__ == '__main__':
  cli.run(main)
