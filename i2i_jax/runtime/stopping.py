"""SIGINT and SIGTERM, answered from a command's first moment on, whatever its main thread is busy with.

Python runs a signal's handler in the main thread between two steps of Python: while XLA compiles, for half a minute
and more, none runs, and the KeyboardInterrupt that has waited for XLA then ends in SIGSEGV, as the interpreter takes
down what XLA made last. So a thread of its own hears of signals, from the pipe that Python's C handler writes to, and
leaves by os._exit. A second signal ends the process at once.

What is to be done first is the main thread's to say: nothing (from the start), `hold` for a moment, or a `Stop`.
"""

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AT_ONCE = 0.3  # seconds: signals that come together, like those of GNU timeout to a process and to its group, are one
HANDLED = 128  # added to a signal's number in the pipe by the handler in Python

Leave = Callable[[], int | None]  # what is done before the process ends; gives the exit code, or None: the signal's


def stopped() -> None:
  print('stopped', file=sys.stderr)


class Listener:
  """Hears of signals while it is started. `leave` is how one is answered now; None: the main thread looks itself."""

  def __init__(self) -> None:
    self.started = False
    self.heard = 0  # signals since it started
    self.signal = 0  # what came and has no answer yet
    self.leave: Leave | None = stopped
    self.notice = ''  # said where a signal has to wait for the main thread
    self.mutex = threading.RLock()  # held while the process leaves, or changes how it would
    self.undo: Callable = lambda: None

  def start(self) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def handle(number, frame):
      # A loop of uvloop's, which Orbax has in the main thread, takes the pipe for itself as long as it runs.
      os.write(writing, bytes([HANDLED + number]))

    handlers = {number: signal.signal(number, handle) for number in SIGNALS}
    pipe = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=self.listen, args=(reading,), daemon=True).start()

    def undo():
      signal.set_wakeup_fd(pipe)
      for number, handler in handlers.items():
        signal.signal(number, handler)
      os.close(writing)
      self.signal, self.heard, self.leave = 0, 0, stopped

    self.started, self.undo = True, undo

  def stop(self) -> None:
    self.started = False
    self.undo()

  def listen(self, pipe: int) -> None:
    """Each signal comes here from C, from Python, or from both: the larger count is how many there were."""
    counts, first = [0, 0], None
    while byte := os.read(pipe, 1):
      number = byte[0] % HANDLED
      counts[byte[0] // HANDLED] += number in SIGNALS
      if max(counts) > self.heard:
        if first is None:
          first, self.signal = time.monotonic(), number
          threading.Thread(target=self.answer, daemon=True).start()
        elif time.monotonic() - first > AT_ONCE:
          print('stopped at once', file=sys.stderr, flush=True)
          os._exit(128 + number)
        self.heard = max(counts)
    os.close(pipe)

  def answer(self) -> None:
    """Leaves, if a signal came and the process may leave now."""
    with self.mutex:
      if self.signal and self.leave:
        leave, self.leave, self.notice = self.leave, None, ''
        try:
          code = leave()
        except BaseException:
          traceback.print_exc()
          code = 1
        with contextlib.suppress(OSError, ValueError):  # what listened may be gone
          sys.stdout.flush()
          sys.stderr.flush()
        os._exit(128 + self.signal if code is None else code)
      if self.signal and self.notice:
        print(self.notice, file=sys.stderr, flush=True)
        self.notice = ''

  def change(self, leave: Leave | None) -> Leave | None:
    """Sets how the process leaves, and returns how it would have left."""
    with self.mutex:
      before, self.leave = self.leave, leave
    return before


LISTENER = Listener()


@contextlib.contextmanager
def listening() -> Iterator[None]:
  """Signals are answered within, and after it as before; in a command that has begun to listen, nothing changes."""
  if LISTENER.started or threading.current_thread() is not threading.main_thread():
    yield
    return
  LISTENER.start()
  try:
    yield
  finally:
    LISTENER.stop()


@contextlib.contextmanager
def leaving(leave: Leave | None) -> Iterator[None]:
  """Within, a signal is answered by `leave`, in any thread and at any moment, and the process ends.

  None: not within, but as soon as the block is done. Nothing happens where no command listens.
  """
  before = LISTENER.change(leave)
  LISTENER.answer()
  try:
    yield
  finally:
    LISTENER.change(before)
    LISTENER.answer()


def hold() -> contextlib.AbstractContextManager:
  """A block that a first signal does not cut in two: what it writes is there whole, or not at all."""
  return leaving(None)


class Stop:
  """Within its block the first SIGINT or SIGTERM only sets `signal`, for a loop to look at; a second one kills.

  Not used with several processes: there JAX's own coordination listens to SIGTERM.
  """

  def __init__(self, notice: str = 'stopping after this step; once more to stop without saving') -> None:
    self.noted, self.notice, self.listened = 0, notice, False
    self.undo: Callable = lambda: None

  @property
  def signal(self) -> int:
    return self.noted or (LISTENER.signal if self.listened else 0)

  def __enter__(self) -> Self:
    import jax

    here = jax.process_count() == 1 and threading.current_thread() is threading.main_thread()
    self.listened = here and LISTENER.started
    if self.listened:
      before, LISTENER.notice = LISTENER.change(None), self.notice
      LISTENER.answer()

      def undo():
        with LISTENER.mutex:  # the signal has its answer: what follows is done in peace
          self.noted, LISTENER.signal, LISTENER.notice = LISTENER.signal, 0, ''
          LISTENER.leave = before

      self.undo = undo
    elif here:
      handlers = {number: signal.signal(number, self.handle) for number in SIGNALS}
      self.undo = lambda: [signal.signal(number, handler) for number, handler in handlers.items()]
    return self

  def handle(self, number: int, frame: FrameType | None) -> None:
    """In a program or a notebook, where no command listens."""
    del frame
    self.noted = number
    signal.signal(number, signal.SIG_DFL)
    print(f'\n{self.notice}', file=sys.stderr)

  def __exit__(self, *_: object) -> None:
    self.undo()
