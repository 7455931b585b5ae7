"""Signals: answered at once where nothing is to be saved, after a block that holds them, by a save in training."""

import os
import signal
import subprocess
import threading

import jax
import numpy as np
import pytest

from i2i_jax import train
from i2i_jax.config import to_dict
from i2i_jax.runs import checkpoint
from i2i_jax.runs.folder import write_json
from i2i_jax.runs.log import read_log
from i2i_jax.runtime import stopping
from tests import moments
from tests.small import tiny_config, whole_state


@pytest.fixture
def listener(monkeypatch):
  """A listener that is started; `ends` has the exit codes with which the process would have ended."""
  found = stopping.Listener()
  found.ends, found.end = [], threading.Event()

  def leave(code):
    found.ends.append(code)
    found.end.set()

  monkeypatch.setattr(stopping, 'LISTENER', found)
  monkeypatch.setattr(stopping.os, '_exit', leave)
  found.start()
  yield found
  found.stop()


@pytest.mark.parametrize('number', stopping.SIGNALS)
def test_a_signal_ends_a_command_at_once_by_its_code(listener, capsys, number):
  os.kill(os.getpid(), number)
  assert listener.end.wait(10) and listener.ends == [128 + number]
  assert capsys.readouterr().err == 'stopped\n'


def test_what_holds_a_signal_is_done_first(listener, tmp_path):
  with stopping.hold():
    os.kill(os.getpid(), signal.SIGTERM)
    while not listener.signal:  # the listener has heard of it
      os.sched_yield()
    assert not listener.ends
  assert listener.ends == [143]


def test_a_second_signal_ends_it_though_the_first_is_held(listener, monkeypatch, capsys):
  clock = iter([0.0, 0.1, 1.0])  # the second came with the first, as GNU timeout sends them; the third did not
  monkeypatch.setattr(stopping.time, 'monotonic', lambda: next(clock))
  with stopping.hold():
    for heard in (1, 2, 3):
      os.kill(os.getpid(), signal.SIGINT)
      while listener.heard < heard:
        os.sched_yield()
      if heard < 3:
        assert not listener.ends
    assert listener.end.wait(10) and listener.ends == [130]
  assert 'stopped at once' in capsys.readouterr().err


def test_a_loop_looks_for_itself_and_what_follows_is_done_in_peace(listener):
  with stopping.Stop() as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    while not stop.signal:
      os.sched_yield()
  with stopping.hold():
    pass
  assert stop.signal == signal.SIGTERM and not listener.ends


def test_a_loops_look_is_left_by_what_it_says(listener):
  with stopping.Stop(), stopping.leaving(lambda: 7):
    os.kill(os.getpid(), signal.SIGTERM)
    assert listener.end.wait(10)
  assert listener.ends == [7]


def test_handlers_are_as_before_once_a_command_is_done():
  before = [signal.getsignal(number) for number in stopping.SIGNALS]
  with stopping.listening():
    assert [signal.getsignal(number) for number in stopping.SIGNALS] != before
  assert [signal.getsignal(number) for number in stopping.SIGNALS] == before
  pipe = signal.set_wakeup_fd(-1)
  signal.set_wakeup_fd(pipe)
  assert pipe == -1


def test_a_stop_while_it_scores_saves_and_loses_no_score(tmp_path, finished):
  """A real process, whose main thread is stuck as in XLA; what is then resumed is as if it had never stopped."""
  config, run = tiny_config(), tmp_path / 'run'
  write_json(tmp_path / 'config.json', to_dict(config))
  arguments = (f'--config={tmp_path / "config.json"}', f'--workdir={run}', '--mesh=data=1')
  # The first is that of step 0; the last of all steps, which a complete run would not make again.
  done = subprocess.run(
    moments.command('i2i_jax.evaluation.scoring.score#3', '15', 600, 'train', *arguments),
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode == 143 and 'Traceback' not in done.stderr, done.stderr
  assert 'stopped at step 6 of 6, saved' in done.stdout and 'stopping' not in done.stderr
  assert checkpoint.steps(run)[-1] == 6
  assert not any('val/psnr' in line for line in read_log(run / 'metrics.jsonl') if line['step'] == 6)

  assert train.train(config, run, mesh_spec='data=1') == 0
  lines, expected = ([{k: v for k, v in x.items() if k != 'data/wait'} for x in read_log(folder / 'metrics.jsonl')]
                     for folder in (run, finished))  # fmt: skip
  assert lines == expected
  jax.tree.map(np.testing.assert_array_equal, whole_state(run), whole_state(finished))
  assert (run / 'samples' / 'step_00000006.png').read_bytes() == (
    finished / 'samples' / 'step_00000006.png'
  ).read_bytes()
  assert train.train(config, run, mesh_spec='data=1') == 0
  assert read_log(run / 'metrics.jsonl') != [] and len(read_log(run / 'metrics.jsonl')) == len(expected)
