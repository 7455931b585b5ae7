"""Damaged checkpoints: found, named, passed over; never read as if they were good."""

import hashlib
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2i_jax import train
from i2i_jax.errors import BadInput, RunFault
from i2i_jax.plan import make_plan
from i2i_jax.runs import checkpoint, checksums
from i2i_jax.runs.log import read_log
from i2i_jax.runtime import mesh
from tests.small import whole_state


def step_of(run, step):
  return run / 'checkpoints' / str(step)


def files_of(run, step=6):
  return sorted(file for file in step_of(run, step).rglob('*') if file.is_file())


def flip(file, rng):
  data = bytearray(file.read_bytes())
  data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
  file.write_bytes(data)


def cut(file):
  file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_a_flipped_bit_in_any_file_is_found(run):
  rng = np.random.default_rng(0)
  for file in files_of(run):
    whole = file.read_bytes()
    if not whole:
      continue
    flip(file, rng)
    assert checkpoint.newest(run) == 3, file
    with pytest.raises(BadInput, match=r'^--step 6: .*6 is damaged \(.*\); name another') as error:
      checkpoint.pick(run, 6)
    assert '\n' not in str(error.value)
    file.write_bytes(whole)
  assert checkpoint.pick(run, 6) == 6


@pytest.mark.parametrize('how', ['cut', 'empty', 'delete'])
def test_a_file_that_is_cut_or_emptied_or_gone_is_found(run, how):
  for file in files_of(run):
    whole = file.read_bytes()
    if how == 'delete':
      file.unlink()
    else:
      file.write_bytes(whole[: len(whole) // 2] if how == 'cut' else b'')
    assert checkpoint.newest(run) == 3, file
    file.write_bytes(whole)


def test_checksums_are_held_against_what_others_compute(run):
  """Against hashlib over whole files, which are smaller than a piece."""
  kept = json.loads((step_of(run, 6) / 'checksums.json').read_text())['files']
  found = {f.relative_to(step_of(run, 6)).as_posix(): f.read_bytes() for f in files_of(run)}
  found.pop('checksums.json')
  assert kept == {name: [len(text), [hashlib.sha256(text).hexdigest()]] for name, text in found.items()}


def test_a_large_file_has_a_checksum_a_piece(tmp_path, monkeypatch):
  monkeypatch.setattr(checksums, 'PIECE', 4096)
  text = np.random.default_rng(0).bytes(10_000)
  (tmp_path / 'large').write_bytes(text)
  checksums.write(tmp_path)
  assert len(json.loads((tmp_path / 'checksums.json').read_text())['files']['large'][1]) == 3
  assert checksums.damage(tmp_path) == ''
  for place in (0, 4095, 4096, 9999):
    (tmp_path / 'large').write_bytes(text[:place] + bytes([text[place] ^ 1]) + text[place + 1 :])
    assert checksums.damage(tmp_path) == 'large is not what was written'


def test_training_goes_on_from_the_newest_good_step_and_sets_the_rest_aside(tiny, run, finished, capsys):
  damaged = step_of(run, 6) / 'state' / 'manifest.ocdbt'
  flip(damaged, np.random.default_rng(0))
  (run / 'checkpoints' / '99').mkdir()
  bytes_then = damaged.read_bytes()
  train.train(tiny, run, mesh_spec='data=1')
  said = capsys.readouterr()
  warnings = [line for line in said.err.splitlines() if line.startswith('warning')]
  assert len(warnings) == 2
  assert (
    f'warning: {step_of(run, 6)} is damaged (state/manifest.ocdbt is not what was written): set aside' in said.err
  )
  assert 'at step 3 of 6' in said.out
  assert checkpoint.steps(run) == [3, 6]
  jax.tree.map(np.testing.assert_array_equal, whole_state(run), whole_state(finished))
  losses = [[{**line, 'data/wait': 0} for line in read_log(folder / 'metrics.jsonl')] for folder in (run, finished)]
  assert losses[0] == losses[1]
  aside = run / 'checkpoints' / 'damaged'
  assert (aside / '6' / 'state' / 'manifest.ocdbt').read_bytes() == bytes_then
  assert (aside / '99').is_dir()


def test_reading_warns_once_and_takes_the_step_before(run, capsys):
  cut(files_of(run)[-1])
  for _ in range(2):
    assert checkpoint.load(run, mesh.make('data=1')).step == 3
  assert capsys.readouterr().err.count('is damaged') == 1
  assert checkpoint.steps(run) == [3, 6]  # who reads moves nothing


def test_without_a_good_step_nothing_is_begun_anew(tiny, run):
  before = (run / 'metrics.jsonl').read_bytes()
  for step in (3, 6):
    cut(step_of(run, step) / 'meta' / 'metadata')
  with pytest.raises(BadInput, match='no checkpoint is good: 6 is damaged'):
    train.train(tiny, run, mesh_spec='data=1')
  assert (run / 'metrics.jsonl').read_bytes() == before


def test_an_older_versions_checkpoints_are_read(run):
  """They have no checksums and do not say that they should; one that says so has lost them."""
  (step_of(run, 6) / 'checksums.json').unlink()
  assert checkpoint.newest(run) == 3
  meta = step_of(run, 6) / 'meta' / 'metadata'
  meta.write_text(json.dumps({k: json.loads(meta.read_text())[k] for k in ('config', 'fingerprint', 'rng', 'data')}))
  assert checkpoint.load(run, mesh.make('data=1')).step == 6


def test_a_step_whose_checksums_are_not_written_is_none(tiny, tmp_path, monkeypatch):
  """They are part of what is committed: what fails before is no step, and is cleaned up at the next start."""

  def full(folder):
    raise OSError(28, 'No space left on device', str(folder))

  monkeypatch.setattr(checksums, 'write', full)
  state = {'x': jnp.ones(3)}
  with pytest.raises(RunFault, match='no room on disk'), checkpoint.manager(tmp_path, tiny) as checkpoints:
    checkpoint.save(checkpoints, 1, state, {})
    checkpoint.wait(checkpoints)
  assert checkpoint.steps(tmp_path) == []
  monkeypatch.undo()
  with checkpoint.manager(tmp_path, tiny) as checkpoints:
    checkpoint.save(checkpoints, 1, state, {})
  assert [p.name for p in (tmp_path / 'checkpoints').iterdir()] == ['1']
  assert checksums.damage(tmp_path / 'checkpoints' / '1') == ''


# ------------------------------------------------------------------------------------------- beside a training
def test_the_newest_is_read_where_training_deletes_the_one_that_was(run, monkeypatch):
  restore = checkpoint.restore_state

  def deleted_meanwhile(checkpoints, step, target):
    if step == 6:
      shutil.copytree(step_of(run, 6), step_of(run, 9))
      shutil.rmtree(step_of(run, 6))
    return restore(checkpoints, step, target)

  monkeypatch.setattr(checkpoint, 'restore_state', deleted_meanwhile)
  shutil.rmtree(step_of(run, 3))
  assert checkpoint.load(run, mesh.make('data=1')).step == 9
  shutil.copytree(step_of(run, 9), step_of(run, 6))
  shutil.rmtree(step_of(run, 9))
  with pytest.raises(BadInput, match='step 6 was deleted by training while it was read'):
    checkpoint.load(run, mesh.make('data=1'), 6)


def test_a_folder_that_was_trained_in_since_the_plan_is_refused(tiny, finished, tmp_path, monkeypatch):
  stale = make_plan(tiny, tmp_path / 'run', mesh_spec='data=1')
  shutil.copytree(finished, tmp_path / 'run')
  monkeypatch.setattr(train, 'make_plan', lambda *_, **__: stale)
  log = (tmp_path / 'run' / 'metrics.jsonl').read_bytes()
  with pytest.raises(BadInput, match=r'another process has trained .* to step 6 meanwhile'):
    train.train(tiny, tmp_path / 'run', mesh_spec='data=1')
  assert (tmp_path / 'run' / 'metrics.jsonl').read_bytes() == log


# --------------------------------------------------------------------------------------------- what does not fit
def test_other_shapes_and_types_are_told_array_by_array(run):
  target = checkpoint.outline(run, mesh.make('data=1')).state
  kernel = target.params['gen']['down0']['kernel']

  def changed(**how):
    other = jax.ShapeDtypeStruct(how.get('shape', kernel.shape), how.get('dtype', kernel.dtype))
    return target.replace(
      params={**target.params, 'gen': {**target.params['gen'], 'down0': {'kernel': other, **how.get('more', {})}}}
    )

  for how, words in (
    ({'shape': (4, 4, 3, 5)}, r'params/gen/down0/kernel: float32\[4,4,3,4\] -> float32\[4,4,3,5\]'),
    ({'dtype': jnp.bfloat16}, r'params/gen/down0/kernel: float32\[4,4,3,4\] -> bfloat16\[4,4,3,4\]'),
    ({'more': {'bias': kernel}}, r'params/gen/down0/bias: \(none\) -> float32\[4,4,3,4\]'),
  ):
    with checkpoint.manager(run) as checkpoints, pytest.raises(BadInput, match=words):
      checkpoint.restore_state(checkpoints, 6, changed(**how))
