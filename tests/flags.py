"""XLA's flags for tests, and for the processes that they start: compiling is most of their time.

Unpolished programs and XLA's older emitters of kernels take a third of it. A program made in one piece takes a fifth
less CPU time than one made in parts by several threads, for which two pytest processes leave no core. XLA ends a
process at a flag that it does not know: the last two were tried with jaxlib 0.10.
"""

from importlib.metadata import version

UNPOLISHED = '--xla_backend_optimization_level=0'
if version('jaxlib').startswith('0.10.'):
  UNPOLISHED += ' --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1'
