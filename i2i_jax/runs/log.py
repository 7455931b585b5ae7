"""metrics.jsonl, a run's record of its losses and scores."""

import json
from pathlib import Path

from i2i_jax.runs import stored
from i2i_jax.runs.folder import write_text


def read_log(path: Path) -> list[dict]:
  """The lines of a metrics.jsonl, each a step and numbers; one that a kill cut short is left out."""
  return stored.read_lines(path, stored.LINE)


def truncate(path: Path, step: int) -> None:
  """Drops the lines after `step`, which a resumed run writes again."""
  if path.exists():
    kept = [json.dumps(line) + '\n' for line in read_log(path) if line['step'] <= step]
    write_text(path, ''.join(kept))
