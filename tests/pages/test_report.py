"""The page of a real run, in a real browser, without a network."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from i2i_jax import train
from i2i_jax.data import images
from i2i_jax.errors import BadInput
from i2i_jax.evaluation import scoring
from i2i_jax.pages import report
from i2i_jax.pages.page import data_url, image_url


def test_the_page_of_a_run_opens_offline_without_an_error(run, page):
  folder = run
  result = scoring.evaluate(folder, 'test')
  page.goto(report.write(folder).as_uri())
  assert 'pix2pix' in page.title()
  assert page.locator('.stack').count() == 4
  assert page.locator('tr.ours').inner_text().split()[1] == f'{result["scores"]["pix2pix"]["psnr"]:.2f}'
  assert page.locator('tr.ours').inner_text().split()[4] == f'{result["scores"]["pix2pix"]["l1"]:.4f}'
  assert page.locator('table tr').count() == 5
  assert page.locator('.chart h3').all_inner_texts()[0].startswith('val/psnr')
  assert 'python -m i2i_jax.train --config=<a b>' in page.locator('pre').first.inner_text()
  assert all(page.evaluate('[...document.images].map(i => i.complete && i.naturalWidth > 0)'))

  # The slider uncovers the output over the input, then the target over the output.
  card = page.locator('.stack').first
  slider = page.locator('.card input[type=range]').first
  for value, left, right in (
    (0, '', 'input'),
    (50, 'output', 'input'),
    (150, 'target', 'output'),
    (200, 'target', ''),
  ):
    slider.fill(str(value))
    assert (card.locator('.left').inner_text(), card.locator('.right').inner_text()) == (left, right)
  slider.fill('50')
  clips = [layer.evaluate('e => e.style.clipPath') for layer in card.locator('img').all()[1:]]
  assert clips == ['inset(0px 50% 0px 0px)', 'inset(0px 100% 0px 0px)']

  # A curve is read by hovering.
  log = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
  first = next(line for line in log if 'val/psnr' in line)
  chart = page.locator('.chart').first
  chart.scroll_into_view_if_needed()
  box = chart.locator('svg').bounding_box()
  page.mouse.move(box['x'] + box['width'] * 0.13, box['y'] + 40)
  assert chart.locator('h3 span').inner_text() == f'step {first["step"]}: {first["val/psnr"]:.4g}'
  assert page.faults == []


def test_a_page_is_made_of_what_there_is(tiny, tmp_path, page):
  """Before any score, in the middle of a run."""
  folder = tmp_path / 'run'
  with tiny.unlocked():
    tiny.samples = 0
  train.train(tiny, folder, stop_at=2, mesh_spec='data=1')
  page.goto(report.write(folder).as_uri())
  assert page.locator('h1').inner_text().startswith('pix2pix')
  assert page.faults == []


def test_a_folder_without_a_run_has_no_page(tmp_path):
  with pytest.raises(BadInput, match='holds no run'):
    report.write(tmp_path)


def test_a_page_holds_inputs_and_targets_once(finished, page):
  """Samples of steps 0, 3 and 6: three outputs, one column of inputs, one of targets; and each is where it was."""
  folder = finished
  page.goto(report.write(folder).as_uri())
  assert page.evaluate('data.images.length') == 5
  for i, step in enumerate((0, 3, 6)):
    page.locator('input[aria-label=step]').fill(str(i))
    page.wait_for_function('[...document.querySelectorAll(".strip img")].every(i => i.complete)')
    shown = [url_image(img.get_attribute('src')) for img in page.locator('.strip img').all()]
    drawn = images.columns(images.read(folder / 'samples' / f'step_{step:08d}.png'), 3)
    for place, one in enumerate(shown):
      errors = [np.abs(one.astype(float) - other).mean() for other in drawn]
      assert np.argmin(errors) == place and min(errors) < 16
  assert page.faults == []


def url_image(url):
  return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(',')[2]))).convert('RGB'))


@pytest.mark.parametrize('channels', [1, 3])
def test_an_image_in_a_page_is_close_or_exact(tmp_path, channels):
  image = np.repeat(
    images.resize(np.random.default_rng(0).integers(0, 256, (6, 6, 1), np.uint8), (48, 64)), channels, -1
  )
  assert np.abs(url_image(image_url(image, 90)).astype(float) - image).mean() < 3
  np.testing.assert_array_equal(url_image(image_url(image)), np.broadcast_to(image, (48, 64, 3)))
  images.write_png(tmp_path / 'x.png', image)
  assert len(data_url(tmp_path / 'x.png')) <= 4 / 3 * (tmp_path / 'x.png').stat().st_size + 40


def test_columns_are_what_a_grid_was_made_of():
  cells = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, 3), np.uint8)
  picture = images.grid([list(row) for row in cells])
  for i, column in enumerate(images.columns(picture, 3)):
    np.testing.assert_array_equal(column, images.grid([[row[i]] for row in cells]))
  assert len(images.columns(picture, 2)) == 1
