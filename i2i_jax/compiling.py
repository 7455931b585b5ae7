"""How the large programs, steps and translations, are compiled."""

import functools

import jax

# XLA's CPU backend hands products and convolutions to YNNPACK where it can, which costs a third of their rate in
# these nets (one of its products uses one core); without it they go to Eigen. And it drops the barriers that keep
# what config.remat computes twice apart, then merges equal computations: memory would stay what it was.
CPU_OPTIONS = {'xla_cpu_experimental_ynn_fusion_type': '', 'xla_disable_hlo_passes': 'cse_barrier_expander'}


def jit(function, **arguments):
  """jax.jit with the compiler's options for this platform."""
  return jax.jit(function, compiler_options=options(), **arguments)


@functools.cache
def options() -> dict:
  """Those options that this version of XLA knows; another one may have dropped them."""
  if jax.default_backend() != 'cpu':
    return {}
  try:
    jax.jit(lambda: 0, compiler_options=CPU_OPTIONS).lower().compile()
  except jax.errors.JaxRuntimeError:
    return {}
  return CPU_OPTIONS
