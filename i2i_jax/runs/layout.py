"""The names of what lies in a run's folder, each once."""

CONFIG = 'config.json'
NOTES = 'run.json'  # command, data, parameters, costs, machine, versions
LOG = 'metrics.jsonl'
TENSORBOARD = 'tensorboard'
CHECKPOINTS = 'checkpoints'
CHECKSUMS = 'checksums.json'  # in each step's folder there
DAMAGED = 'damaged'  # in `checkpoints/`: what was set aside
SAMPLES = 'samples'  # pictures of validation images, as the run goes
ATTENTION = 'attention'  # the same with the maps of attention blocks
PROFILE = 'profile'
PAGE = 'report.html'
LOCK = '.lock'
PICTURES = 'pictures.json'  # in a folder of pictures: which of its files are ours
RESULT = 'result.json'  # of a run in a sweep


def scores(split: str, direction: str = 'ab', protocol: str = 'pixel') -> str:
  """'eval_test', 'eval_test_ba': of the file of scores (.json) and the folder of pictures beside it.

  Another protocol's scores have its name: 'eval_test_lite0'.
  """
  return f'eval_{split}{suffix(direction)}{"" if protocol == "pixel" else f"_{protocol}"}'


def saved_meta(step: str) -> str:
  """'checkpoints/100/meta/metadata': the JSON that a checkpoint holds beside its arrays."""
  return f'{CHECKPOINTS}/{step}/meta/metadata'


def sample(step: int) -> str:
  """'step_00000100.png', of a folder of pictures."""
  return f'step_{step:08d}.png'


def inputs(side: str) -> str:
  """'inputs_a.npz': what the training images of a side are like, see inference/unlike.py."""
  return f'inputs_{side}.npz'


def attention_maps(split: str, direction: str = 'ab') -> str:
  """'attention_test.png', 'attention_test_ba.png'."""
  return f'attention_{split}{suffix(direction)}.png'


def suffix(direction: str) -> str:
  """What tells the way back from the way there, in names of files and of metrics: '' or '_ba'."""
  return '' if direction == 'ab' else f'_{direction}'
