"""What the writers leave: the same scalars and pictures, wherever they go."""

import json
import struct

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from i2i_jax import train
from i2i_jax.data import images
from i2i_jax.errors import BadInput
from i2i_jax.runs import folder
from i2i_jax.runs.log import read_log
from i2i_jax.training import writers
from tests.small import tiny_config


def scalars_of_files(run):
  lines = read_log(run / 'metrics.jsonl')
  return {(line['step'], name): line[name] for line in lines for name in line if name != 'step'}


def pictures_of_files(run):
  return {(int(p.stem.removeprefix('step_')), 'samples'): images.read(p) for p in (run / 'samples').iterdir()}


def of_tensorboard(run, tmp_path):
  """(scalars, pictures) by (step, name), read from the records: length, its checksum, an Event, its checksum."""
  scalars, pictures = {}, {}
  for file in (run / 'tensorboard').iterdir():
    content = file.read_bytes()
    while content:
      (length,) = struct.unpack('<Q', content[:8])
      event = Event.FromString(content[12 : 12 + length])
      content = content[16 + length :]
      for value in event.summary.value:
        if value.HasField('image'):
          png = tmp_path / 'picture.png'
          png.write_bytes(value.image.encoded_image_string)
          pictures[event.step, value.tag] = images.read(png)
        else:
          scalars[event.step, value.tag] = value.simple_value
  return scalars, pictures


def of_wandb(run):
  """The same of an offline run of Weights & Biases."""
  datastore = pytest.importorskip('wandb.sdk.internal.datastore')
  from wandb.proto import wandb_internal_pb2

  scalars, pictures = {}, {}
  for file in sorted((run / 'wandb').glob('offline-run-*/*.wandb')):
    store = datastore.DataStore()
    store.open_for_scan(str(file))
    while (data := store.scan_data()) is not None:
      record = wandb_internal_pb2.Record.FromString(data)
      items = {item.key or '/'.join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
      for name, value in items.items():
        if isinstance(value, dict):
          pictures[items['_step'], name] = images.read(file.parent / 'files' / value['path'])
        elif not name.startswith('_'):
          scalars[items['_step'], name] = value
  return scalars, pictures


def assert_same(found, expected):
  assert found.keys() == expected.keys()
  for key, value in expected.items():
    np.testing.assert_allclose(found[key], value, rtol=1e-6)


def test_each_writer_holds_the_same(tiny, tmp_path, monkeypatch):
  pytest.importorskip('wandb')
  monkeypatch.setenv('WANDB_MODE', 'offline')
  monkeypatch.setenv('WANDB_SILENT', 'true')
  run = tmp_path / 'run'
  with tiny.unlocked():
    tiny.writers = 'tensorboard,wandb'
  train.train(tiny, run, mesh_spec='data=1', stop_at=4)
  name = folder.read_notes(run)['wandb']
  train.train(tiny, run, mesh_spec='data=1')
  assert folder.read_notes(run)['wandb'] == name  # the resumed run is the same one there
  scalars, pictures = scalars_of_files(run), pictures_of_files(run)
  assert {'loss/gen', 'val/psnr', 'lr', 'data/wait'} <= {name for _, name in scalars}
  assert {step for step, _ in pictures} == {0, 3, 6}
  for found in (of_tensorboard(run, tmp_path), of_wandb(run)):
    assert_same(found[0], scalars)
    assert_same(found[1], pictures)


def test_what_is_no_writer_is_refused_before_anything_is_written(tiny, tmp_path, monkeypatch):
  with tiny.unlocked():
    tiny.writers = 'tensorbord'
  with pytest.raises(BadInput, match='did you mean'):
    train.train(tiny, tmp_path / 'run')
  monkeypatch.setattr(writers.importlib.util, 'find_spec', lambda name: None)
  with tiny.unlocked():
    tiny.writers = 'wandb'
  with pytest.raises(BadInput, match='not installed'):
    train.train(tiny, tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_no_writer_but_files_is_needed(tiny, tmp_path):
  with tiny.unlocked():
    tiny.update({'writers': '', 'steps': 1})
  train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  assert not (tmp_path / 'run' / 'tensorboard').exists()
  assert read_log(tmp_path / 'run' / 'metrics.jsonl')


def test_a_run_that_begins_again_logs_its_first_scores_once(tmp_path):
  """It was stopped, or its disk was full, before it had a checkpoint."""
  for _ in range(2):
    writers.files(tmp_path, tiny_config(), 0).scalars(0, {'val/psnr': 1.0})
  assert [line['step'] for line in read_log(tmp_path / 'metrics.jsonl')] == [0]
