"""The memory that bfloat16 and rematerialisation save, by XLA's own analysis of the compiled training step.

  python -m experiments.speed.memory

prints a row a step and a column a setting: megabytes that the step needs beside its arguments, the activations above
all. Nothing is run, only compiled, for the device at hand; that takes a minute each on a laptop. An accelerator
computes in bfloat16 as it is; a CPU may widen it, and then keeps both for a while.
"""

import argparse

from experiments.speed import rows as speed_rows
from i2i_jax import cli
from i2i_jax.runtime import cost

ROWS = {
  'pix2pix 256 px, batch 4': speed_rows.Row('train', '', batch=4),
  'CycleGAN 128 px, batch 1, 6 blocks': speed_rows.Row('train', '', 'cyclegan', size=128, blocks=6),
}
SETTINGS = {
  'float32': {},
  'bfloat16': {'precision': 'bfloat16'},
  'remat': {'remat': True},
  'bfloat16 and remat': {'precision': 'bfloat16', 'remat': True},
}


def table(rows: dict, settings: dict) -> str:
  """Markdown: megabytes, and their share of the first setting's."""
  lines = [f'| MB | {" | ".join(settings)} |', '|---' * (len(settings) + 1) + '|']
  for title, row in rows.items():
    found = []
    for changes in settings.values():
      config = speed_rows.config(row).unlock()
      config.update(changes)
      found.append(cost.config_cost(config.lock())['step_bytes'])
      print(f'{title}, {changes or "as it is"}: {found[-1] / 1e6:,.0f} MB', flush=True)
    lines.append(f'| {title} | ' + ' | '.join(f'{x / 1e6:,.0f} ({x / found[0]:.0%})' for x in found) + ' |')
  return '\n'.join(lines)


def main():
  name, lines = 'python -m experiments.speed.memory', argparse.RawDescriptionHelpFormatter
  argparse.ArgumentParser(prog=name, description=__doc__, formatter_class=lines).parse_args()
  cli.keep_compiled()
  print(table(ROWS, SETTINGS))


if __name__ == '__main__':
  cli.run(main)
