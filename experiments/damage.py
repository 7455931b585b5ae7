"""Which scores see which damage? Blur, noise, JPEG, a shift of colour, copies, mix-ups, each at four strengths.

  python -m experiments.damage

200 tiles of the Earth's reliefs, 64 px, are damaged and compared with themselves as they were: by each metric
that needs no file of weights. Copies stand for mode collapse: the set holds 100, 50, 20 or 5 of its tiles, again and
again. Mixed up are outputs that have each other's place, as if a net did not look at its input.

And what scores of sets say where nothing is amiss: some of the tiles against as many others.

Writes experiments/results/damage/table.md and a picture of the damage.
"""

import io
import itertools
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from i2i_jax import cli, data
from i2i_jax.config import load
from i2i_jax.data import images
from i2i_jax.evaluation import features, measure, metrics, protocols
from i2i_jax.runs.folder import write_text

COUNT, SHOWN = 200, 36
SOUND, DRAWS = (42, 100), 40  # tiles a set; 42 is the Earth's test split at 64 px
OUT = Path(__file__).parent / 'results' / 'damage'
NAMES = protocols.get('lite0').metrics


def blur(tile, radius, rng):
  return np.asarray(Image.fromarray(tile).filter(ImageFilter.GaussianBlur(radius)))


def noise(tile, deviation, rng):
  return np.clip(tile + rng.normal(0, deviation, tile.shape), 0, 255).astype(np.uint8)


def jpeg(tile, quality, rng):
  file = io.BytesIO()
  Image.fromarray(tile).save(file, 'JPEG', quality=quality)
  return np.asarray(Image.open(file))


def colour(tile, shift, rng):
  """Redder and less blue."""
  return np.clip(tile + np.array([shift, 0, -shift]), 0, 255).astype(np.uint8)


def copied(tiles, kept, rng):
  some = tiles[rng.permutation(len(tiles))[:kept]]
  return np.tile(some, (-(-len(tiles) // kept), 1, 1, 1))[: len(tiles)]


def mixed_up(tiles, count, rng):
  chosen, mixed = rng.permutation(len(tiles))[:count], tiles.copy()
  mixed[chosen] = tiles[np.roll(chosen, 1)]
  return mixed


# Strengths from weak to strong.
DAMAGES = {
  'blur, radius in px': (blur, (0.5, 1.0, 1.5, 2.5)),
  'noise, deviation of 255': (noise, (4, 8, 16, 32)),
  'JPEG, quality': (jpeg, (80, 50, 25, 10)),
  'colour shift, of 255': (colour, (4, 8, 16, 32)),
  'distinct tiles of 200': (copied, (100, 50, 20, 5)),
  'tiles of 200 mixed up': (mixed_up, (25, 50, 100, 200)),
}


def damaged(tiles: np.ndarray, change, strength: float) -> np.ndarray:
  rng = np.random.default_rng(0)
  if change in (copied, mixed_up):
    return change(tiles, strength, rng)
  return np.stack([change(tile, strength, rng) for tile in tiles])


def sound(by: measure.Measure, of_real: dict) -> list[list[str]]:
  """A row for each score of sets: its 5th to its 95th percentile over draws of two sets, by their size."""
  found: dict[str, list[str]] = {}
  for size in SOUND:
    draws = [np.random.default_rng(i).permutation(COUNT) for i in range(DRAWS)]
    parts = [[{of: x[chosen] for of, x in of_real.items()} for chosen in (p[:size], p[-size:])] for p in draws]
    scores = [by.sets(*part)[0] for part in parts]
    for name in scores[0]:
      ends = np.percentile([of[name] for of in scores], (5, 95))
      found.setdefault(name, []).append(' to '.join(map(metrics.METRICS[name].text, ends)))
  return [[metrics.METRICS[name].head, *texts] for name, texts in found.items()]


def main() -> None:
  cli.prepare()
  source = data.get(load(['--config=pix2pix:task=relief,size=64']), 'train')
  tiles = np.stack([source[i]['b'] for i in data.spread(len(source), COUNT)])
  real = images.to_float(tiles)
  by = measure.make(NAMES, features.load([of for name in NAMES if (of := metrics.METRICS[name].of)]))
  of_real = by.features(real)
  lines = [['damage', 'score', 'weakest', '', '', 'strongest'], ['---', '---', *['---:'] * 4]]
  ordered: dict[str, list[str]] = {name: [] for name in NAMES}
  rows = []
  for title, (change, strengths) in DAMAGES.items():
    sets = [damaged(tiles, change, strength) for strength in strengths]
    found = []
    for fake in map(images.to_float, sets):
      means = {name: float(values.mean()) for name, values in by.pairs(fake, real).items()}
      found.append(means | by.sets(by.features(fake), of_real)[0])
    lines.append([f'**{title}**', '', *map(str, strengths)])
    for name in NAMES:
      entry = metrics.METRICS[name]
      texts = [entry.text(scores[name]) for scores in found]
      bad = [entry.badness(float(text)) for text in texts]  # as printed
      ordered[name].append('yes' if all(a < b for a, b in itertools.pairwise(bad)) else '')
      lines.append(['', entry.head, *texts])
    rows.append([tiles[SHOWN], *(fake[SHOWN] for fake in sets)])
  short = [['score', *DAMAGES], ['---'] * (len(DAMAGES) + 1)]
  short += [[metrics.METRICS[name].head, *cells] for name, cells in ordered.items()]
  floor = [['score', *(f'{size} tiles' for size in SOUND)], ['---', *['---:'] * len(SOUND)], *sound(by, of_real)]
  text = (
    f'`python -m experiments.damage`: {len(tiles)} reliefs of 64 px.\n\nWhich scores put the four strengths in order:'
    f'\n\n{markdown(short)}\nTiles against as many others, 5th to 95th percentile of {DRAWS} draws:'
    f'\n\n{markdown(floor)}\nThe scores:\n\n{markdown(lines)}'
  )
  OUT.mkdir(parents=True, exist_ok=True)
  images.write_png(OUT / 'damage.png', images.grid(rows))
  write_text(OUT / 'table.md', text)
  print(text)


def markdown(lines: list[list[str]]) -> str:
  return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


if __name__ == '__main__':
  main()
