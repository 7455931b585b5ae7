"""Pages that open anywhere, offline: a frame, styles and scripts, and what is shown, in one HTML file."""

import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from i2i_jax.data import images
from i2i_jax.runs.folder import write_text


def fill(page: Path, values: dict) -> None:
  """Writes a page: the frame of all, with its style and script, those of its name beside this file, and `values`."""

  def part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding='utf-8')

  # '<' only: the one character that could end the script element that holds the data.
  data = json.dumps(values, allow_nan=False).replace('<', '\\u003c')
  text = part('page.html').replace('{{style}}', part('page.css')).replace('{{script}}', part('page.js'))
  text = text.replace('{{page style}}', part(f'{page.stem}.css')).replace('{{page script}}', part(f'{page.stem}.js'))
  write_text(page, text.replace('{{data}}', data))


def data_url(file: Path, quality: int | None = None) -> str:
  """A picture's file inside of the page, see `image_url`; a PNG stays as it is where that is smaller."""
  made = image_url(images.read(file), quality)
  whole = 'data:image/png;base64,' + base64.b64encode(file.read_bytes()).decode()
  return min(made, whole, key=len)


def image_url(image: np.ndarray, quality: int | None = None) -> str:
  """A uint8 image inside of the page, as WebP. `quality` is WebP's, up to 100; None: no pixel is changed."""
  out = io.BytesIO()
  image = image[..., 0] if image.shape[2:] == (1,) else image
  Image.fromarray(image).save(out, 'WEBP', quality=quality or 80, lossless=quality is None)
  return 'data:image/webp;base64,' + base64.b64encode(out.getvalue()).decode()
