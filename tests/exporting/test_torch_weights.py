"""Weights from and for pytorch-CycleGAN-and-pix2pix: names, layouts, run folders, files that are refused."""

import json
import pickle
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from i2i_jax import export_torch, fields, import_torch, methods
from i2i_jax.data import images
from i2i_jax.data.sources import earth
from i2i_jax.errors import BadInput
from i2i_jax.exporting import torch_weights
from i2i_jax.inference import predictor
from i2i_jax.runs import checkpoint
from i2i_jax.runtime import mesh


def shapes_of(config):
  """A pix2pix state's shapes, none of which is computed."""
  return jax.eval_shape(methods.get(config).init, jax.random.key(0), checkpoint.example_batch(config))


def draw(shapes, seed=0):
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes)


def state_dict(config, net='gen', seed=0):
  """A state dict of random numbers for config.gen or config.disc."""
  state = shapes_of(config)
  variables = draw({'params': state.params[net], 'batch_stats': state.extra['batch_stats'][net]}, seed)
  return torch_weights.to_torch(torch_weights.layers(config[net]), variables)


def small(net, norm=None, disc='basic', width=2):
  """The config of a narrow net of the name that --net takes."""
  config = fields.defaults()
  config.data.crop_size = (import_torch.SIZES[net],) * 2
  config.gen.update({**import_torch.GENERATORS[net], 'width': width, 'max_width': 8 * width})
  config.gen.norm = norm or ('batch' if config.gen.name == 'unet' else 'instance')
  config.disc.update({**import_torch.DISCRIMINATORS[disc], 'width': width})
  return config


@pytest.fixture
def weights(tmp_path):
  """A file of a narrow resnet_6blocks."""
  save_file(state_dict(small('resnet_6blocks')), tmp_path / 'G.safetensors')
  return tmp_path / 'G.safetensors'


def test_the_names_are_the_published_ones():
  """Written out from models/networks.py; an index of a block or a sequence that is off by one shows here."""
  unet = state_dict(small('unet_256'))
  block = 'model.model.1.model'
  assert {name for name in unet if name.count('.3.model') == 0} == {
    *('model.model.0.weight', 'model.model.3.weight', 'model.model.3.bias', f'{block}.1.weight', f'{block}.5.weight'),
    *(f'{block}.{i}.{n}' for i in (2, 6) for n in ('weight', 'bias', *torch_weights.STATISTICS)),
  }
  inner = block + 6 * '.3.model'
  assert {name for name in unet if name.startswith(inner)} == {
    *(f'{inner}.{i}.weight' for i in (1, 3)),
    *(f'{inner}.4.{n}' for n in ('weight', 'bias', *torch_weights.STATISTICS)),
  }

  resnet = {name for name in state_dict(small('resnet_9blocks')) if name.endswith('.weight')}
  plain = {f'model.{i}.weight' for i in (1, 4, 7, 19, 22, 26)}
  assert resnet == plain | {f'model.{i}.conv_block.{j}.weight' for i in range(10, 19) for j in (1, 5)}

  basic = state_dict(small('unet_128'), 'disc')
  assert {name for name in basic if not name.endswith(torch_weights.STATISTICS)} == {
    *('model.0.weight', 'model.0.bias', 'model.11.weight', 'model.11.bias'),
    *(f'model.{i}.weight' for i in (2, 5, 8)),
    *(f'model.{i}.{n}' for i in (3, 6, 9) for n in ('weight', 'bias')),
  }
  pixel = state_dict(small('unet_128', disc='pixel'), 'disc')
  assert {name for name in pixel if not name.endswith(torch_weights.STATISTICS)} == {
    *('net.0.weight', 'net.0.bias', 'net.2.weight', 'net.3.weight', 'net.3.bias', 'net.5.weight')
  }


def test_dropout_in_a_resnet_moves_its_second_convolutions():
  config = small('resnet_9blocks')
  config.gen.dropout = 0.5
  names = state_dict(config)
  assert 'model.10.conv_block.6.weight' in names
  assert 'model.10.conv_block.5.weight' not in names


def test_kernels_are_laid_out_as_pytorchs():
  tensors = state_dict(small('unet_256', width=3))
  assert tensors['model.model.0.weight'].shape == (3, 3, 4, 4)
  assert tensors['model.model.1.model.1.weight'].shape == (6, 3, 4, 4)  # out, in
  assert tensors['model.model.1.model.5.weight'].shape == (12, 3, 4, 4)  # in, out
  assert tensors['model.model.1.model.2.num_batches_tracked'].shape == ()
  assert all(x.flags.c_contiguous for x in tensors.values())


@pytest.mark.parametrize(
  ('net', 'norm', 'dropout', 'disc'),
  [
    ('unet_256', 'batch', 0.5, 'basic'),
    ('unet_128', 'instance', 0.5, 'pixel'),
    ('resnet_9blocks', 'instance', 0.5, None),
    ('resnet_6blocks', 'batch', 0.0, None),
    ('resnet_6blocks', 'batch', 0.5, None),
  ],
)
def test_what_comes_in_goes_out_bit_for_bit(tmp_path, net, norm, dropout, disc):
  config = small(net, norm, disc or 'basic')
  config.gen.dropout = dropout
  files = {'gen': tmp_path / 'G.safetensors'} | ({'disc': tmp_path / 'D.safetensors'} if disc else {})
  for seed, (key, file) in enumerate(files.items()):
    save_file(state_dict(config, key, seed), file)
  run = tmp_path / 'runs' / 'x'
  import_torch.import_weights(files['gen'], net, run, disc_weights=files.get('disc'), disc_net=disc or 'basic')
  assert sorted(p.name for p in run.parent.iterdir()) == ['x']
  for key, file in files.items():
    out = tmp_path / f'{key}.safetensors'
    export_torch.export(run, out, net=key)
    theirs, ours = load_file(file), load_file(out)
    assert theirs.keys() == ours.keys()
    for name in theirs:
      np.testing.assert_array_equal(theirs[name], ours[name], err_msg=name, strict=True)


def test_the_folder_is_a_run_that_translates(weights, tmp_path):
  import_torch.import_weights(weights, 'resnet_6blocks', tmp_path / 'run', command='as typed')
  shardings = mesh.make('data=1')
  run = checkpoint.load(tmp_path / 'run', shardings)
  assert run.step == int(run.state.step) == 0
  assert run.config.data.crop_size == (128, 128)
  assert run.config.gen.width == 2
  assert set(run.state.params) == {'gen'}
  assert json.loads((tmp_path / 'run' / 'run.json').read_text())['command'] == 'as typed'
  a = np.random.default_rng(0).uniform(-1, 1, (1, 128, 128, 3)).astype(np.float32)
  fake_b = predictor.Program(run.method.translators['ab'], shardings, 0, batch=1)(run.state, a)
  assert fake_b.shape == a.shape
  assert fake_b.std() > 0.01


def test_files_of_several_gpus_and_of_old_versions_are_read(weights, tmp_path):
  """DataParallel's prefix; and statistics that instance norms once kept and nothing uses."""
  tensors = load_file(weights)
  stats = {f'model.{i}.{n}': np.ones(2, np.float32) for i in (2, 5) for n in torch_weights.STATISTICS}
  stats |= {f'model.10.conv_block.{i}.running_mean': np.ones(8, np.float32) for i in (2, 6)}
  save_file({f'module.{name}': x for name, x in {**tensors, **stats}.items()}, tmp_path / 'old.safetensors')
  import_torch.import_weights(tmp_path / 'old.safetensors', 'resnet_6blocks', tmp_path / 'run')
  export_torch.export(tmp_path / 'run', tmp_path / 'out.safetensors')
  assert load_file(tmp_path / 'out.safetensors').keys() == tensors.keys()


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda t: t.pop('model.4.weight'), r'the file lacks model\.4\.weight$'),
    (lambda t: t.update(extra=np.zeros(1)), r'the file has besides extra$'),
    (
      lambda t: t.update({'model.4.weight': np.zeros((5, 2, 3, 3), np.float32)}),
      r'model\.4\.weight has the shape \(5, 2, 3, 3\) in the file, expected is \(4, 2, 3, 3\)',
    ),
    (lambda t: t['model.4.weight'].fill(np.nan), r'model\.4\.weight holds a number that is not finite'),
    (lambda t: t.pop('model.1.weight'), r'the file lacks model\.1\.weight$'),
    (lambda t: t.clear(), r'the file lacks .* and \d+ more$'),
  ],
)
def test_a_net_that_does_not_fit_is_refused(weights, tmp_path, change, message):
  tensors = load_file(weights)
  change(tensors)
  save_file(tensors, weights)
  with pytest.raises(BadInput, match=message):
    import_torch.import_weights(weights, 'resnet_6blocks', tmp_path / 'new' / 'run')
  assert [p.name for p in tmp_path.iterdir()] == [weights.name]


def test_another_net_or_a_discriminator_of_one_image_is_refused(weights, tmp_path):
  with pytest.raises(BadInput, match=r'--net=resnet_9blocks: .*G\.safetensors holds a resnet_6blocks$'):
    import_torch.import_weights(weights, 'resnet_9blocks', tmp_path / 'run')
  config = small('resnet_6blocks')
  config.data.channels_a = 0
  save_file(state_dict(config, 'disc'), tmp_path / 'D.safetensors')
  with pytest.raises(
    BadInput, match=r'model\.0\.weight has the shape \(2, 3, 4, 4\) in the file, expected is \(2, 6'
  ):
    import_torch.import_weights(weights, 'resnet_6blocks', tmp_path / 'run', disc_weights=tmp_path / 'D.safetensors')
  assert not (tmp_path / 'run').exists()


def test_what_is_there_already_stays(weights, tmp_path):
  (tmp_path / 'run').mkdir()
  with pytest.raises(BadInput, match='is there already'):
    import_torch.import_weights(weights, 'resnet_6blocks', tmp_path / 'run')
  import_torch.import_weights(weights, 'resnet_6blocks', tmp_path / 'new')
  before = weights.read_bytes()
  with pytest.raises(BadInput, match='is there already'):
    export_torch.export(tmp_path / 'new', weights)
  assert weights.read_bytes() == before


@pytest.mark.parametrize(
  ('content', 'name', 'message'),
  [
    (None, 'G.safetensors', 'there is no file'),
    (b'', 'G.safetensors', 'truncated or no file of weights'),
    (b'hello', 'G.safetensors', 'truncated or no file of weights'),
    (b'hello', 'G.npz', r"did you mean '.pth'|it is one of \.pt, \.pth, \.safetensors"),
  ],
)
def test_a_file_that_is_none_is_refused(tmp_path, content, name, message):
  if content is not None:
    (tmp_path / name).write_bytes(content)
  with pytest.raises(BadInput, match=message):
    import_torch.import_weights(tmp_path / name, 'unet_256', tmp_path / 'run')


def test_a_truncated_file_is_refused(weights, tmp_path):
  weights.write_bytes(weights.read_bytes()[:-100])
  with pytest.raises(BadInput, match='truncated or no file of weights'):
    import_torch.import_weights(weights, 'resnet_6blocks', tmp_path / 'run')


@pytest.mark.parametrize(
  ('net', 'field', 'value'),
  [
    ('unet_256', 'upsample', 'nearest'),
    ('unet_256', 'padding', 'reflect'),
    ('unet_256', 'norm', 'group'),
    ('unet_256', 'norm', 'none'),
    ('unet_256', 'depth', 4),
    ('unet_256', 'max_width', 8),
    ('resnet_9blocks', 'downsample', 'blur'),
    ('resnet_9blocks', 'upsample', 'bilinear'),
    ('resnet_9blocks', 'padding', 'zero'),
    ('resnet_9blocks', 'norm', 'layer'),
  ],
)
def test_a_net_without_counterpart_is_refused(net, field, value):
  config = small(net)
  torch_weights.check_counterpart(config.gen, 'gen')
  config.gen[field] = value
  with pytest.raises(BadInput, match=rf'config\.gen\.{field} = .* has no counterpart in PyTorch'):
    torch_weights.check_counterpart(config.gen, 'gen')


def test_a_layer_without_counterpart_is_refused():
  variables = {'params': {'attention3': {'gamma': np.zeros(1)}}}
  with pytest.raises(BadInput, match='our layer attention3 has no counterpart'):
    torch_weights.to_torch(torch_weights.layers(small('unet_256').gen), variables)


def test_a_discriminator_that_is_not_there_is_refused(weights, tmp_path):
  import_torch.import_weights(weights, 'resnet_6blocks', tmp_path / 'run')
  with pytest.raises(BadInput, match='--net=disc: this run has none'):
    export_torch.export(tmp_path / 'run', tmp_path / 'D.safetensors', net='disc')
  with pytest.raises(BadInput, match='--direction ba'):
    export_torch.export(tmp_path / 'run', tmp_path / 'D.safetensors', direction='ba')
  assert sorted(p.name for p in tmp_path.iterdir()) == ['G.safetensors', 'run']


@pytest.mark.parametrize('ema', [0.0, 0.5])
def test_each_net_of_a_cyclegan_goes_out(tmp_path, ema):
  config = small('resnet_6blocks')
  config.update({'method': 'cyclegan', 'ema': ema})
  config.data.crop_size = (32, 32)
  config.gen.blocks, config.disc.norm, config.loss.gan = 1, 'batch', 'lsgan'
  state = shapes_of(config)
  state = jax.tree.map(lambda x: np.random.default_rng(x.size).normal(size=x.shape).astype(x.dtype), state)
  for seed, key in enumerate(('gen', 'disc')):
    state.params[key].update(draw(state.params[key], seed))
  if ema:
    state.extra['ema'].update(draw(state.extra['ema'], 2))
  import_torch.save(tmp_path / 'run', config, jax.device_put(state), '')
  for net, direction, key in (('gen', 'ab', 'ab'), ('gen', 'ba', 'ba'), ('disc', 'ab', 'b'), ('disc', 'ba', 'a')):
    file = tmp_path / f'{net}_{direction}.safetensors'
    export_torch.export(tmp_path / 'run', file, net=net, direction=direction)
    params = state.extra['ema'] if ema and net == 'gen' else state.params[net]
    variables = {'params': params[key], 'batch_stats': state.extra['batch_stats'][net][key]}
    expected = torch_weights.to_torch(torch_weights.layers(config[net]), variables)
    written = load_file(file)
    assert written.keys() == expected.keys()
    assert all(np.array_equal(written[name], expected[name]) for name in expected)


def test_dropout_of_a_unet_is_as_published_unless_it_had_none():
  tensors = state_dict(small('unet_128'))
  for no_dropout, rate in ((False, 0.5), (True, 0.0)):
    config = import_torch.plan(Path('x.pth'), tensors, 'unet_128', None, None, 'basic', no_dropout)
    assert config.gen.dropout == rate
    assert config.test.to_dict() == {'dropout': True, 'batch_stats': 'batch'}


def test_the_commands_say_what_they_did_and_what_is_wrong(command, weights, tmp_path):
  arguments = ('i2i_jax.import_torch', f'--weights={weights}', f'--output={tmp_path / "run"}')
  done = command(*arguments, '--net=resnet_6blocks')
  assert done.returncode == 0, done.stderr
  done = command(*arguments, '--net=resnet_6blocks')
  assert done.returncode == 2
  assert done.stderr.startswith('error: --output:') and done.stderr.count('\n') == 1
  done = command('i2i_jax.export_torch', f'--workdir={tmp_path / "run"}', f'--output={tmp_path / "out.safetensors"}')
  assert done.returncode == 0, done.stderr
  assert (tmp_path / 'out.safetensors').read_bytes() == weights.read_bytes()


# ------------------------------------------------------------------------------------ with PyTorch installed


class Evil:
  def __reduce__(self):
    return subprocess.call, (['touch', 'executed'],)


@pytest.mark.parametrize('how', ['inside', 'outside', 'truncated', 'text', 'list', 'nested', 'pickled'])
def test_pytorch_files_that_must_not_be_read(tmp_path, monkeypatch, how):
  torch = pytest.importorskip('torch')
  monkeypatch.chdir(tmp_path)
  file = tmp_path / 'G.pth'
  torch.save({'inside': {'a': Evil()}, 'list': [1], 'nested': {'model': {}}}.get(how, {'a': torch.zeros(9)}), file)
  if how == 'outside':
    file.write_bytes(pickle.dumps(Evil()))
  elif how == 'pickled':
    file.write_bytes(pickle.dumps(Evil(), protocol=2))
  elif how == 'truncated':
    file.write_bytes(file.read_bytes()[:-100])
  elif how == 'text':
    file.write_text('hello')
  with pytest.raises(BadInput, match=r'could run code; nothing was run|truncated or|is not a net.s state dict'):
    import_torch.import_weights(file, 'unet_256', tmp_path / 'run')
  assert [p.name for p in tmp_path.iterdir()] == ['G.pth']


@pytest.mark.parametrize(
  ('net', 'old_format'),
  [('unet_128', False), ('resnet_9blocks', False), ('resnet_6blocks', False), ('resnet_6blocks', True)],
)
def test_pytorch_loads_what_we_write_and_we_what_it_writes(tmp_path, net, old_format):
  torch = pytest.importorskip('torch')
  from experiments.speed import torch_nets

  make = {
    'unet_128': lambda: torch_nets.unet(3, 3, 7, 2),
    'resnet_9blocks': lambda: torch_nets.resnet(3, 3, 9, 2),
    'resnet_6blocks': lambda: torch_nets.resnet(3, 3, 6, 2),
  }[net]
  theirs = make()
  torch.save(theirs.state_dict(), tmp_path / 'G.pth', _use_new_zipfile_serialization=not old_format)
  disc = {}
  if net == 'unet_128':
    torch.save(torch_nets.patchgan(6, 3, 2).state_dict(), tmp_path / 'D.pth')
    disc = {'disc_weights': tmp_path / 'D.pth'}
  import_torch.import_weights(tmp_path / 'G.pth', net, tmp_path / 'run', **disc)
  export_torch.export(tmp_path / 'run', tmp_path / 'back.pth')
  ours = make()
  ours.load_state_dict(torch.load(tmp_path / 'back.pth', weights_only=True), strict=True)
  assert all(torch.equal(x, theirs.state_dict()[name]) for name, x in ours.state_dict().items())
  if disc:
    export_torch.export(tmp_path / 'run', tmp_path / 'backD.pth', net='disc')
    torch_nets.patchgan(6, 3, 2).load_state_dict(torch.load(tmp_path / 'backD.pth', weights_only=True), strict=True)

  run = checkpoint.load(tmp_path / 'run', mesh.make('data=1'))
  x = np.random.default_rng(0).uniform(-1, 1, (1, 128, 128, 3)).astype(np.float32)
  module = run.method.nets['gen'][0]
  variables = {'params': run.state.params['gen'], 'batch_stats': run.state.extra['batch_stats']['gen']}
  y = jax.jit(lambda v, x: module.apply(v, x, dropout=False, running_stats=True)[0])(variables, x)
  with torch.no_grad():
    expected = theirs.eval()(torch.from_numpy(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
  np.testing.assert_allclose(y, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_ten_real_pictures_of_a_full_net_are_pytorchs(command, tmp_path):
  """The published net at its own size, by the commands: its pictures differ from PyTorch's by rounding at most."""
  torch = pytest.importorskip('torch')
  from experiments.speed import torch_nets

  torch.manual_seed(0)
  theirs = torch_nets.resnet(3, 3, 9, 64)
  for name, x in theirs.state_dict().items():
    if name.endswith('model.26.weight'):
      x *= 5  # a fresh net puts out gray: this one uses the whole range
  torch.save(theirs.state_dict(), tmp_path / 'G.pth')
  tiles = earth.load_pictures(1)['satellite'][900:1156, : 256 * 20].reshape(256, 20, 256, 3).swapaxes(0, 1)[::2]
  (tmp_path / 'in').mkdir()
  for i, tile in enumerate(tiles):
    images.write_png(tmp_path / 'in' / f'{i}.png', tile)

  run, out = tmp_path / 'run', tmp_path / 'out'
  for arguments in (
    ('i2i_jax.import_torch', f'--weights={tmp_path / "G.pth"}', '--net=resnet_9blocks', f'--output={run}'),
    ('i2i_jax.translate', f'--workdir={run}', f'--input={tmp_path / "in"}', f'--output={out}'),
    ('i2i_jax.export_torch', f'--workdir={run}', f'--output={tmp_path / "back.pth"}'),
  ):
    result = command(*arguments)
    assert result.returncode == 0, result.stderr

  with torch.no_grad():
    x = torch.from_numpy(np.stack([images.to_float(tile) for tile in tiles])).permute(0, 3, 1, 2)
    expected = (torch.cat([theirs(one[None]) for one in x]).permute(0, 2, 3, 1).numpy() + 1) * 127.5
  assert np.ptp(expected) > 100
  for i, picture in enumerate(expected):
    assert np.abs(images.read(out / f'{i}.png') - picture).max() <= 1
  back = torch.load(tmp_path / 'back.pth', weights_only=True)
  ours = torch_nets.resnet(3, 3, 9, 64)
  ours.load_state_dict(back, strict=True)
  assert all(torch.equal(back[name], x) for name, x in theirs.state_dict().items())


@pytest.mark.parametrize(
  ('name', 'value', 'words'),
  [
    ('model.1.weight', np.float64(1.0), r'model\.1\.weight has the shape \(\) in the file, which is no kernel'),
    ('model.1.weight', np.zeros(4, np.float32), 'which is no kernel'),
    ('model.1.weight', np.zeros((0, 3, 7, 7), np.float32), 'which is no kernel'),
    ('model.1.bias', np.full(2, 1e300), r'model\.1\.bias holds a number that is not finite in 32 bits'),
  ],
)
def test_what_is_no_kernel_or_too_large_for_32_bits_is_refused(tmp_path, name, value, words):
  tensors = state_dict(small('resnet_6blocks'))
  save_file({**tensors, name: np.asarray(value)}, tmp_path / 'G.safetensors')
  with pytest.raises(BadInput, match=words):
    import_torch.import_weights(tmp_path / 'G.safetensors', 'resnet_6blocks', tmp_path / 'run')
  assert not (tmp_path / 'run').exists()
