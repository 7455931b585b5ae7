"""What a reading means: its threshold, what is wrong beyond it, and what usually helps.

Thresholds lie between what healthy runs read and what planted faults do: `python -m experiments.health` prints both,
docs/health.md has the tables. All is worked out from the lines of metrics.jsonl, so a page needs no more.
"""

from typing import NamedTuple

LASTS = 2  # looks in a row that must be beyond the threshold: once may be chance


class Sign(NamedTuple):
  reading: str  # of readings.py
  limit: float
  above: bool  # whether it is a sign above the limit, or below it
  text: str  # what is wrong; {} is the reading's value
  helps: str  # with the fields to change
  unless: tuple[str, ...] = ()  # signs that explain it: with one of them it is not told

  def ill(self, value: float) -> bool:
    return value > self.limit if self.above else value < self.limit


SIGNS = {
  'collapse': Sign(
    'diversity', 0.15, False,
    'outputs for different inputs differ {:.0%} as much as targets do: the generator makes the same of everything',
    'more weight on the input: loss.reconstruction_weight, loss.cycle_a and cycle_b; a lower optim.lr; '
    'optim.disc_every=1',
  ),
  'ignores-input': Sign(
    'sensitivity', 0.15, False,
    'another input changes the output {:.0%} as much as another target differs: the generator ignores its input',
    'more weight on the input: loss.reconstruction_weight, loss.cycle_a and cycle_b; less gen.dropout',
    ('collapse',),
  ),
  'does-nothing': Sign(
    'change', 0.1, False,
    'outputs differ from their inputs {:.0%} as much as targets do: the generator hands on its input',
    'a larger loss.gan_weight; a smaller loss.identity; gen.residual=False',
  ),
  'colour': Sign(
    'colour', 1.0, True,
    "the mean colour is {:.1f} deviations of the targets' pixels away from theirs: colours are shifted",
    'images of one colour space in both folders; a lower optim.lr; loss.identity; gen.norm=instance',
    ('collapse',),
  ),
  'swapped-colour': Sign(
    'swapped', 1.08, True,
    'outputs are {:.2f} times as far from the targets as with inverted or exchanged channels: colours are swapped',
    'both folders read by the same tool (OpenCV writes BGR); another seed; a lower optim.lr; loss.identity',
    ('collapse', 'ignores-input'),
  ),
  'grid': Sign(
    'grid', 0.25, True,
    'a pattern of 2 or 4 px repeats over the outputs, {:.0%} of the contrast of targets: a checkerboard',
    'gen.upsample=nearest or bilinear in place of transpose; more steps',
  ),
  'blocks': Sign(
    'blocks', 0.6, True,
    'neighbours within blocks of 2 or 4 px differ {:.0%} less than those of targets: outputs are blocks',
    'gen.upsample=bilinear or transpose',
    ('collapse',),
  ),
  'saturation': Sign(
    'saturation', 0.3, True,
    '{:.0%} more of the output is black or white than of the targets',
    'a lower optim.lr; optim.clip=1; check data.range_b',
  ),
  'memorised': Sign(
    'unseen', 2.5, True,
    'errors are {:.1f} times as large on validation images as on those of training: the pairs are learnt by heart',
    'more images; data.jitter, data.flip; fewer steps (evaluate --step=best); a smaller gen.width',
  ),
  'no-pairs': Sign(
    'match', 1.05, False,
    "outputs are {:.2f} times as near to their own targets as to others': the pairs seem to be none",
    'i2i check looks at the pairs; without pairs, --config=cyclegan',
    ('collapse', 'ignores-input'),
  ),
  'hidden-input': Sign(
    'hidden', 4.0, True,
    'a little noise on a translation makes the way back {:.1f} times worse: the input hides in it, unseen',
    'a smaller loss.cycle_a and cycle_b; diffaugment=color,translation; a smaller gen.width',
  ),
  'disc-lost': Sign(
    'guesses', 0.53, False,
    'the discriminator is right on {:.0%} of its patches: it guesses, and teaches nothing',
    'a lower optim.lr or optim.disc_lr_ratio where it was raised; a larger disc.width; optim.disc_every=1',
    ('disc-frozen',),
  ),
  'disc-wins': Sign(
    'wins', 0.99, True,
    'the discriminator is right on {:.1%} of its patches: the generator cannot follow',
    'optim.adaptive=0.8; optim.disc_every=2; loss.r1=1; diffaugment=color,translation for few images',
  ),
  'disc-frozen': Sign(
    'moved/disc', 1e-9, False,
    'the weights of the discriminators are the same as at the last look',
    'optim.disc_lr_ratio above 0; optim.adaptive nearer to 1, or 0',
  ),
}  # fmt: skip
WHERE = {'': '', '_ba': ' from B to A', '_a': ' of side A', '_b': ' of side B'}


class Alarm(NamedTuple):
  """A sign that lasts: from the first look at which it was there to the last; `side` as in a reading's name."""

  sign: str
  side: str
  since: int
  until: int
  value: float  # at `until`

  @property
  def name(self) -> str:
    """'collapse', 'collapse from B to A', 'disc-wins of side A'."""
    return f'{self.sign}{WHERE[self.side]}'

  def line(self) -> str:
    """What is wrong, since when, and what usually helps."""
    sign = SIGNS[self.sign]
    return f'{self.name}, since step {self.since}: {sign.text.format(self.value)}. What usually helps: {sign.helps}'


def readings(line: dict) -> dict[str, float]:
  """The readings of a line of metrics.jsonl, without their prefix."""
  return {name.removeprefix('health/'): value for name, value in line.items() if name.startswith('health/')}


def found(values: dict[str, float]) -> dict[tuple[str, str], float]:
  """The signs of one look and their sides, with what was read; not those that another one explains."""
  ill = {
    (name, side): value
    for name, sign in SIGNS.items()
    for side in WHERE
    if (value := values.get(sign.reading + side)) is not None and sign.ill(value)
  }
  return {
    (name, side): value
    for (name, side), value in ill.items()
    if not any((cause, where) in ill for cause in SIGNS[name].unless for where in {side, ''})
  }


def alarms(lines: list[dict]) -> list[Alarm]:
  """All that lasted, by where it began. `lines` are those of metrics.jsonl, in order, looks and others."""
  running: dict[tuple[str, str], list[tuple[int, float]]] = {}
  lasted: list[Alarm] = []
  for line in [line for line in lines if readings(line)] + [{}]:
    now = found(readings(line))
    for key in running.keys() - now.keys():
      if len(run := running.pop(key)) >= LASTS:
        lasted.append(Alarm(*key, run[0][0], *run[-1]))
    for key, value in now.items():
      running.setdefault(key, []).append((line['step'], value))
  return sorted(lasted, key=lambda alarm: (alarm.since, list(SIGNS).index(alarm.sign), alarm.side))


def lasting(lines: list[dict]) -> list[Alarm]:
  """The alarms that were there at the last look."""
  last = max((line['step'] for line in lines if readings(line)), default=0)
  return [alarm for alarm in alarms(lines) if alarm.until == last]
