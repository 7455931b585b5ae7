"""What README and docs print is what docs/numbers.md says was measured."""

import re
from pathlib import Path

import pytest

from experiments import numbers

ROOT = Path(__file__).parent.parent
# Where a score of ours or of a baseline stands: file and the words of its line.
PRINTED = {
  'README.md': {
    'relief': ('relief: elevation map to shaded relief', ('pix2pix', 'linear', 'constant', 'copy')),
    'regression': ('the same without a discriminator', ('pix2pix', 'linear', 'constant', 'copy')),
    'satellite': ('satellite: elevation map to satellite picture', ('pix2pix', 'linear', 'constant', 'copy')),
    'map': ('map: satellite picture to elevation map', ('pix2pix', 'linear', 'constant', 'copy')),
    'paired': ('pix2pix from pairs', ('pix2pix',)),
    'unpaired': ('**CycleGAN, without pairs**', ('cyclegan',)),
  }
}


@pytest.fixture(scope='module')
def measured():
  return numbers.read((ROOT / numbers.FILE).read_text())


def test_every_score_is_listed_with_its_commands(measured):
  assert measured.keys() == numbers.TRAINED.keys()
  assert numbers.markdown(measured) == (ROOT / numbers.FILE).read_text()


@pytest.mark.parametrize(('file', 'name'), [(f, n) for f, names in PRINTED.items() for n in names])
def test_a_line_of_scores_is_the_measured_one(measured, file, name):
  words, whos = PRINTED[file][name]
  (line,) = [line for line in (ROOT / file).read_text().splitlines() if words in line and line.startswith('|')]
  printed = re.findall(r'\d+\.\d\d\b', line.replace(words, ''))
  expected = [psnr for direction in ('ab', 'ba') for who in whos
              for d, w, psnr, _ in measured[name] if (d, w) == (direction, who)]  # fmt: skip
  assert printed == expected


def test_configs_name_the_scores_that_were_measured(measured):
  pix2pix, cyclegan = ((ROOT / 'configs' / f'{name}.py').read_text() for name in ('pix2pix', 'cyclegan'))
  ours = {name: rows[0][2] for name, rows in measured.items()}
  assert f'relief {ours["relief"]}, satellite {ours["satellite"]}, map {ours["map"]} dB (seed 0)' in pix2pix
  there, back = (next(r[2] for r in measured['unpaired'] if r[:2] == (d, 'cyclegan')) for d in ('ab', 'ba'))
  assert f'{there} dB from elevation to relief, {back} dB back (seed 0)' in cyclegan
