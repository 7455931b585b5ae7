"""i2i NAME ...: the commands of i2i_jax. `i2i NAME --help` tells more; `python -m i2i_jax.NAME` is the same."""

import importlib
import os
import sys

from i2i_jax.errors import nearest
from i2i_jax.runtime import memory, stopping

COMMANDS = {
  'check': 'look at a data set: pairs, leaks, duplicates',
  'train': 'train what a config describes, or resume a run',
  'evaluate': "score a run's checkpoint beside three baselines",
  'translate': 'translate a folder of images',
  'report': "write a run's page",
  'attention_maps': 'draw where a generator with attention looks',
  'sweep': 'run an experiment: variants, seeds, one table',
  'import_torch': 'make a run of published PyTorch weights',
  'export_torch': 'write weights that the PyTorch code loads',
}


def main() -> int | None:
  name = sys.argv[1] if len(sys.argv) > 1 else '--help'
  if name in ('--help', '-h', '--version'):
    from i2i_jax import __version__

    lines = [f'i2i_jax {__version__}'] if name == '--version' else [__doc__, '']
    lines += [] if name == '--version' else [f'  {command:16}{text}' for command, text in COMMANDS.items()]
    print('\n'.join(lines))
    return 0
  if name not in COMMANDS:
    print(f'error: i2i {name} is not known: {nearest(name, COMMANDS)}', file=sys.stderr)
    return 2
  if not sys.flags.safe_path:
    sys.path.insert(0, os.getcwd())  # as `python -m` does: a user's own data source may lie there
  memory.use_huge_pages()  # before JAX is imported: the process starts once more
  stopping.LISTENER.start()
  from i2i_jax import cli, options

  sys.argv[:2] = [f'i2i {name}']

  def command() -> int | None:
    args = options.COMMANDS[name]()  # what is wrong with them is said before JAX is imported
    return importlib.import_module(f'i2i_jax.{name}').main(args)

  return cli.run(command)


if __name__ == '__main__':
  sys.exit(main())
