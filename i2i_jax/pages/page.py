"""Pages that open anywhere, offline: a template with its values, the pages' style and script in one HTML file."""

import base64
import json
from pathlib import Path

from i2i_jax.runs.folder import write_text


def fill(page: Path, values: dict) -> None:
  """Writes a page from the template of its name beside this file: the pages' style and script and `values` go in."""
  template, style, script = (
    Path(__file__).with_name(name).read_text(encoding='utf-8') for name in (page.name, 'page.css', 'page.js')
  )
  # '<' only: the one character that could end the script element that holds the data.
  text = json.dumps(values, allow_nan=False).replace('<', '\\u003c')
  page_text = template.replace('{{style}}', style).replace('{{script}}', script).replace('{{data}}', text)
  write_text(page, page_text)


def data_url(file: Path) -> str:
  return 'data:image/png;base64,' + base64.b64encode(file.read_bytes()).decode()
