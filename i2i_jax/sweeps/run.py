"""One run of a sweep: trains, then scores on the test split the checkpoint that is best on the validation split.

  python -m i2i_jax.sweeps.run --config=runs/attention/se/seed0.json --workdir=runs/attention/se/seed0

i2i_jax.sweep starts one process of these a run. It may be stopped and started as training may; RUN/result.json is
written last, and says that all of it is done.
"""

import os
import shlex
import shutil
import signal
import sys
import threading
from pathlib import Path

from ml_collections import ConfigDict

from i2i_jax import cli, data, options, train
from i2i_jax.config import load, to_dict
from i2i_jax.errors import RunFault
from i2i_jax.evaluation import chosen, scoring
from i2i_jax.runs import checkpoint, layout, stored
from i2i_jax.runs.folder import read_notes, write_json
from i2i_jax.runs.log import read_log
from i2i_jax.runtime import precision


def run(config: ConfigDict, workdir: Path, metric: str, protocol: str = 'pixel', command: str = '') -> int:
  """Trains, scores, writes WORKDIR/result.json and keeps the chosen checkpoint alone. Returns train's exit code.

  A run that is done is only scored again, where a metric was added since.
  """
  file = workdir / layout.RESULT
  old = stored.read_or(None, file, stored.RESULT, 'it is made again, from its checkpoint')
  if file.exists():  # written last: the checkpoint that is left is the chosen one
    step = old['step'] if old else chosen.best_step(workdir, metric)
  elif code := train.train(config, workdir, mesh_spec='data=1', command=command):
    return code
  else:
    step = chosen.best_step(workdir, metric)
  result = scoring.evaluate(workdir, 'test', step, protocol=protocol, chosen=f'best val/{metric}', rivals=False)
  for other in set(checkpoint.steps(workdir)) - {step}:
    shutil.rmtree(workdir / layout.CHECKPOINTS / str(other))
  means, per_image = (result[key][config.method] for key in ('scores', 'per_image'))
  notes, log = read_notes(workdir), read_log(workdir / layout.LOG)
  if 'cost' not in notes:
    raise RunFault(f'{workdir / layout.NOTES} no longer says what the run cost; delete {workdir} to train it again')
  write_json(
    file,
    {
      'config': to_dict(config),
      'step': step,
      'scores': per_image,
      'set_scores': {name: value for name, value in means.items() if name not in per_image},
      'curves': {
        name: [[line['step'], line[name]] for line in log if name in line]
        for name in (f'val/{score}' for score in means)
      },
      'cost': notes['cost'],
      'seconds': notes.get('seconds', 0.0),
      'fingerprints': {split: data.get(config, split).fingerprint for split in data.SPLITS},
    },
  )
  return 0


def stop_with_parent() -> None:
  """Stops this process, as SIGTERM does, when its standard input closes: when the sweep ended, or was killed."""

  def wait():
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)

  threading.Thread(target=wait, daemon=True).start()


def main() -> int:
  parser = options.parser('sweeps/run')
  parser.add_argument('--config', required=True, metavar='FILE', help='of the run')
  parser.add_argument('--workdir', required=True, type=Path, help="the run's folder")
  parser.add_argument('--metric', default='psnr', help='of the validation split, that chooses the checkpoint')
  parser.add_argument('--stop_with_parent', action='store_true', help='stop when standard input is closed')
  parser.add_argument('--protocol', default='pixel', help='by which it is scored on the test split')
  args, fields = parser.parse_known_args()
  if args.stop_with_parent:
    stop_with_parent()
  config = load([f'--config={args.config}', *fields])
  precision.enable(config.precision)
  command = shlex.join(
    ['python', '-m', 'i2i_jax.sweeps.run', *(a for a in sys.argv[1:] if a != '--stop_with_parent')]
  )
  return run(config, args.workdir, args.metric, args.protocol, command)


if __name__ == '__main__':
  cli.run(main)
