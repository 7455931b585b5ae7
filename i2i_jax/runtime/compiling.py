"""How the large programs, steps and translations, are compiled."""

import functools
from collections.abc import Callable
from typing import Any

import jax

CPU_OPTIONS = {
  # XLA hands products and convolutions to YNNPACK where it can, which costs a third of their rate in these nets (one
  # of its products uses one core); without it they go to Eigen.
  'xla_cpu_experimental_ynn_fusion_type': '',
  # It drops the barriers that keep what config.remat computes twice apart, then merges equal computations: memory
  # would stay what it was.
  'xla_disable_hlo_passes': 'cse_barrier_expander',
  # It copies all weights in each step, where it cannot see that they are read before they are written.
  'xla_cpu_copy_insertion_use_region_analysis': True,
  # It orders a step for operations side by side, then runs them in turn: CycleGAN's buffers take half as much again.
  'xla_cpu_scheduler_type': 'CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED',
}


def jit(function: Callable, **arguments: Any) -> jax.stages.Wrapped:
  """jax.jit with the compiler's options for this platform."""
  return jax.jit(function, compiler_options=options(), **arguments)


def jit_once(function: Callable, **arguments: Any) -> jax.stages.Wrapped:
  """jax.jit for a program that runs once, like the draw of the first weights: compiled in a third of the time."""
  return jax.jit(function, compiler_options=known({'xla_backend_optimization_level': 1}), **arguments)


def options() -> dict:
  return known(CPU_OPTIONS)


def known(options: dict) -> dict:
  """`options` on a CPU if this version of XLA knows them all; another one may have dropped them."""
  return options if jax.default_backend() == 'cpu' and accepted(tuple(options.items())) else {}


@functools.cache
def accepted(options: tuple) -> bool:
  try:
    jax.jit(lambda: 0, compiler_options=dict(options)).lower().compile()
  except jax.errors.JaxRuntimeError:
    return False
  return True
