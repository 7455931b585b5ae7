"""Looks at a data set before a net spends days on it.

  i2i check --config=pix2pix:data=folder,path=pairs
  i2i check --config=cyclegan:data=folder,path=photos --output=looked_at

Every image of every split is read once. Said are: files that cannot be read, images of one colour, images that are
there twice, also re-encoded, mirrored or turned, and those of the test split that are in the training split too; gray
images in three channels; shapes that resizing changes; splits whose colours differ. Of pairs, whether they are
pairs: on up to 400 of them, aligned pairs must match better than shuffled ones by the structure of their
neighbourhoods; the share of wrong pairs is estimated, and the most suspicious are shown.

OUTPUT/ (default: check/) then holds check.html, a page with samples and all that was found, and check.json. The exit
code is 3 where something was found. `i2i train` looks at a hundred pairs before it begins, and warns.
"""

from argparse import Namespace
from pathlib import Path

from ml_collections import ConfigDict

from i2i_jax import cli, data, options
from i2i_jax.data import checks
from i2i_jax.pages import check as page
from i2i_jax.runs import folder
from i2i_jax.runs.folder import write_json

FILES = ('check.json', 'check.html')


def check(config: ConfigDict, output: Path) -> list[str]:
  """Writes the page and check.json into `output`, and returns what was found, a line each.

  Raises:
    BadInput: the data set cannot be opened, or `output` holds something else.
  """
  folder.check_empty(output, 'check', FILES, option='--output')
  sources = sources_of(config)
  result = checks.run(sources, config)
  output.mkdir(parents=True, exist_ok=True)
  write_json(output / FILES[0], result.values)
  page.write(output / FILES[1], result, sources, config)
  return result.findings


def sources_of(config: ConfigDict) -> dict[str, data.Source]:
  """All splits; test before val, which it often stands in for."""
  return {split: data.get(config, split) for split in ('train', 'test', 'val')}


def main(args: Namespace | None = None) -> int:
  args = args or options.check()
  found = check(args.config, args.output)
  for line in found:
    print(f'- {line}')
  print(f'{len(found) or "nothing"} to look at; page: {args.output / FILES[1]}')
  return 3 if found else 0


if __name__ == '__main__':
  cli.run(main)
