"""metrics.jsonl, a run's record of its losses and scores."""

import json
from pathlib import Path

from i2i_jax.runs.folder import write_text


def read_log(path: Path) -> list[dict]:
  """The lines of a metrics.jsonl; one that a kill cut short is left out."""
  lines = []
  for line in path.read_text().splitlines() if path.exists() else []:
    try:
      lines.append(json.loads(line))
    except json.JSONDecodeError:
      continue
  return lines


def truncate(path: Path, step: int) -> None:
  """Drops the lines after `step`, which a resumed run writes again."""
  if path.exists():
    kept = [json.dumps(line) + '\n' for line in read_log(path) if line['step'] <= step]
    write_text(path, ''.join(kept))
