"""What README and docs print is what was measured: scores in docs/numbers.md, times in experiments/results/speed/."""

import re
from pathlib import Path

import pytest

from experiments import numbers

ROOT = Path(__file__).parent.parent
PIX2PIX, CYCLEGAN = (('pix2pix', 'linear', 'constant', 'copy'), ('cyclegan', 'linear', 'constant', 'copy'))
FROM_PAIRS = {
  'relief: elevation map to shaded relief': [('relief', 'ab', who) for who in PIX2PIX],
  'the same without a discriminator': [('regression', 'ab', who) for who in PIX2PIX],
  'satellite: elevation map to satellite picture': [('satellite', 'ab', who) for who in PIX2PIX],
  'map: satellite picture to elevation map': [('map', 'ab', who) for who in PIX2PIX],
}
# Where scores stand: file, the words of their line, whose they are in its order. PSNR, and L1 where it is printed.
PRINTED = {
  'README.md': {
    **FROM_PAIRS,
    'CycleGAN, without pairs: elevation to relief': [('unpaired', 'ab', who) for who in CYCLEGAN],
    'CycleGAN, without pairs: relief to elevation': [('unpaired', 'ba', who) for who in CYCLEGAN],
  },
  'docs/results.md': {
    **FROM_PAIRS,
    'pix2pix from pairs': [('paired', 'ab', 'pix2pix')],
    '**CycleGAN, without pairs**': [('unpaired', 'ab', 'cyclegan'), ('unpaired', 'ba', 'cyclegan')],
    'linear, 5x5 px, fitted on pairs': [('unpaired', 'ab', 'linear'), ('unpaired', 'ba', 'linear')],
    '| mean colour |': [('unpaired', 'ab', 'constant'), ('unpaired', 'ba', 'constant')],
    '| copy the input |': [('unpaired', 'ab', 'copy'), ('unpaired', 'ba', 'copy')],
  },
}


def text_of(file: str) -> str:
  return (ROOT / file).read_text()


@pytest.fixture(scope='module')
def measured():
  return numbers.read(text_of(numbers.FILE))


def test_every_score_is_listed_with_its_commands(measured):
  assert measured.keys() == numbers.TRAINED.keys()
  assert numbers.markdown(measured) == text_of(numbers.FILE)


@pytest.mark.parametrize(('file', 'words'), [(f, words) for f, lines in PRINTED.items() for words in lines])
def test_a_line_of_scores_is_the_measured_one(measured, file, words):
  (line,) = [line for line in text_of(file).splitlines() if line.startswith(('| ' + words, words))]
  whose = PRINTED[file][words]
  scores = [next(row[2:4] for row in measured[name] if row[:2] == (d, who)) for name, d, who in whose]
  printed = re.findall(r'\b\d+\.\d+\b', line.replace(words, ''))
  with_l1 = any(len(number.partition('.')[2]) == 3 for number in printed)
  assert printed == [number for psnr, l1 in scores for number in ((psnr, l1) if with_l1 else (psnr,))]


def test_how_far_cyclegan_is_from_the_regression(measured):
  found = {row[:2]: float(row[2]) for row in measured['unpaired']}
  short = [found[d, 'linear'] - found[d, 'cyclegan'] for d in ('ab', 'ba')]
  said = re.search(r'falls ([\d.]+) dB \(([\d.]+) dB on the way back\)', text_of('docs/results.md'))
  assert [f'{x:.1f}' for x in short] == list(said.groups())


def test_configs_name_the_scores_that_were_measured(measured):
  pix2pix, cyclegan = (text_of(f'configs/{name}.py') for name in ('pix2pix', 'cyclegan'))
  ours = {name: rows[0][2] for name, rows in measured.items()}
  assert f'relief {ours["relief"]}, satellite {ours["satellite"]}, map {ours["map"]} dB (seed 0)' in pix2pix
  there, back = (next(r[2] for r in measured['unpaired'] if r[:2] == (d, 'cyclegan')) for d in ('ab', 'ba'))
  assert f'{there} dB from elevation to relief, {back} dB back (seed 0)' in cyclegan


# -------------------------------------------------------------------------------------------------------------- times


def tables(text: str) -> list[dict[str, dict[str, str]]]:
  """The tables whose first column is `row`: {row: {column: cell}}; names without stars, 'this' for what is ours."""
  found = []
  for block in re.findall(r'(?:^\|.*\n)+', text, re.M):
    head, _, *rows = ([cell.strip(' *') for cell in line.strip('|').split('|')] for line in block.splitlines())
    if head[0] == 'row':
      head = ['this' if name == 'ours' else name for name in head]
      found.append({row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows})
  return found


RECORDS = {device: tables(text_of(f'experiments/results/speed/{device}.md')) for device in ('cpu', 'h100')}


@pytest.mark.parametrize(('heading', 'device'), [('## On a CPU', 'cpu'), ('## On a GPU', 'h100')])
def test_times_are_those_of_the_record(heading, device):
  section = text_of('docs/speed.md').split(heading)[1].split('\n## ')[0]
  printed = tables(section)
  assert printed and printed[0].keys() == RECORDS[device][0].keys()
  for table, record in zip(printed, RECORDS[device], strict=False):
    for row, cells in table.items():
      assert cells == {name: record[row][name] for name in cells}, row


def test_the_readmes_times_are_those_of_the_record():
  cpu, gpu = RECORDS['cpu'][0], RECORDS['h100'][0]
  lines = text_of('README.md').split('## Speed')[1].split('\n## ')[0].splitlines()
  rows = [[cell.strip(' *') for cell in line.strip('|').split('|')] for line in lines if line.startswith('| ')][1:]
  assert len(rows) >= 4
  for row, *cells in rows:
    assert cells == [device[row][name] for device in (cpu, gpu) for name in ('this', 'ratio')], row


def test_the_input_pipeline_is_as_fast_as_is_said():
  record = text_of('experiments/results/speed/cpu.md')
  first, later, waits = re.search(r'batch 1: (\d+) pairs .*?, (\d+) in later .*?, ([\d.]+)%', record).groups()
  said = ' '.join(text_of('docs/speed.md').split())
  assert f'{later} pairs a second ({first} while they are decoded), and training waits for them {waits}%' in said


def rows_of(text: str) -> list[list[str]]:
  """The lines of a page's tables, cell by cell."""
  return [
    [cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line.startswith('| ')
  ]


def seconds(cell: str) -> float:
  number, unit = cell.split()
  return float(number) * {'ms': 1e-3, 's': 1}[unit]


def duration(time: float) -> str:
  """As docs/own_images.md prints it."""
  name, unit = next((name, unit) for name, unit in (('days', 86400), ('h', 3600), ('min', 60)) if time >= unit)
  return f'{time / unit:.1f} {name}'


def test_how_long_training_takes_follows_from_the_times_of_steps():
  rows = rows_of(text_of('docs/own_images.md').split('## How long it takes')[1])[1:]
  assert len(rows) >= 4
  for row, steps, *times in rows:
    for time, device in zip(times, ('cpu', 'h100'), strict=True):
      known = RECORDS[device][0].get(row)
      assert time == (duration(int(steps.replace(',', '')) * seconds(known['this'])) if known else ''), row


# ------------------------------------------------------------------------------------------------------- experiments
def test_the_page_of_scores_has_the_tables_that_were_measured():
  """docs/metrics.md shows two of the damage experiment's."""
  measured = rows_of(text_of('experiments/results/damage/table.md'))
  section = text_of('docs/metrics.md').partition('## What they see')[2].partition("## Against the field's tools")[0]
  shown = rows_of(section)
  assert len(shown) == 2 + 16 + 2 + 11 and all(row in measured for row in shown)


@pytest.mark.parametrize(
  'name',
  [
    'perception',
    'perception_satellite',
    'perception_superres',
    'small_data',
    'attention',
    'pairing',
    'balance',
    'multiscale',
  ],
)
def test_what_is_said_of_an_experiment_is_in_its_table(name):
  """PSNR, SWD and their differences, as printed; other columns have fewer digits or several sources."""
  after = text_of('experiments/README.md').partition(f'[Table](results/{name}/table.md)')[2]
  shown = rows_of(after.partition('[Table](')[0].partition('\n## ')[0])
  measured = {}
  for file in sorted((ROOT / 'experiments' / 'results' / name).glob('*.md')):
    for row in rows_of(file.read_text()):
      measured.setdefault(row[0], []).extend(row)
  assert len(shown) > 4
  for row in shown:
    printed = [cell for cell in row if re.search(r'± \d+\.\d\d?$|\[[+-]\d+\.\d\d?, ', cell)]
    variant = row[0].partition(' against ')[0]
    assert set(printed) <= set(measured.get(variant, [])), (row[0], set(printed) - set(measured.get(variant, [])))
