"""What a user may get wrong, said in one line: errors, and choices with the nearest name."""

import difflib
from collections.abc import Collection, Iterable


class BadInput(ValueError):
  """Something given is wrong: found before anything is created. Commands print it, one line, and exit with 2."""

  def __init__(self, text: object) -> None:
    super().__init__(' '.join(str(text).splitlines()))  # what was given, and is told, may have more


class RunFault(RuntimeError):
  """Something went wrong while running. Commands print it and exit with 1."""


def nearest(name: str, options: Iterable[str]) -> str:
  """'; did you mean X?' or '; it is one of A, B', to append to an error."""
  options = [str(o) for o in options]
  close = difflib.get_close_matches(str(name), options, n=1, cutoff=0.5)
  known = ', '.join(sorted(options))
  return f'did you mean {close[0]!r}? (it is one of {known})' if close else f'it is one of {known}'


def choice(where: str, value: str, options: Collection[str]) -> str:
  """Returns `value` if it is one of `options`, else raises BadInput naming the field and the nearest option."""
  if value in options:
    return value
  raise BadInput(f'{where} = {value!r} is not known: {nearest(value, options)}')


def one_line(error: object) -> str:
  """A message that stays one line of plain text, whatever the names in it hold."""
  text = str(error).encode('utf-8', 'backslashreplace').decode()
  return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)
