"""The page of a run: one self-contained HTML file, made of whatever the run has written so far.

  i2i report --workdir=runs/x

It shows test pictures with a slider from input over output to target, the scores beside the baselines, loss
curves to hover, the validation pictures over time, the config, and the command that runs it again.
"""

from i2i_jax import cli
from i2i_jax.pages import report


def main() -> None:
  parser = cli.parser(__doc__, 'report')
  cli.run_options(parser, direction=False, step=False)
  print(f'page: {report.write(parser.parse_args().workdir)}')


if __name__ == '__main__':
  cli.run(main)
