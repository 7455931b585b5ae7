"""i2i_jax: image-to-image translation in JAX and Flax.

  import i2i_jax
  run = i2i_jax.load('runs/demo')
  pictures = run.translate(pictures)  # uint8 [H, W, 3] each, in and out

An import changes nothing: commands, and `prepare()` in a notebook, silence libraries' logs and keep what is compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from pathlib import Path

  from i2i_jax.inference.predictor import Predictor

__version__ = '0.2.0'


def load(workdir: Path | str, step: int | None = None) -> Predictor:
  """A trained run, ready to translate: `inference.predictor.load`."""
  from i2i_jax.inference import predictor

  return predictor.load(workdir, step)


def prepare(precision: str = '') -> None:
  """What commands do first, for a program or a notebook (`cli.prepare`); JAX computes in `precision`."""
  from i2i_jax import cli
  from i2i_jax.runtime.precision import enable

  cli.prepare()
  if precision:
    enable(precision)
