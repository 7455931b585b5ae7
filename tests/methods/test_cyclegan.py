"""CycleGAN's update, its data without pairs, and a run from folders to both directions."""

import importlib.util
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from i2i_jax import data, fields, methods, models, train, translate
from i2i_jax.data import images
from i2i_jax.data.sources import _records, earth
from i2i_jax.errors import BadInput
from i2i_jax.evaluation import metrics, scoring
from i2i_jax.losses.reconstruction import l1
from i2i_jax.plan import make_plan
from i2i_jax.runs import checkpoint
from i2i_jax.runs.log import read_log
from i2i_jax.runtime.describe import parameter_count
from i2i_jax.training import begin
from tests.small import whole_state


@pytest.fixture
def tiny_cycle(tiny):
  with tiny.unlocked():
    tiny.method = 'cyclegan'
    tiny.data.paired = False
    tiny.gen.update(
      {'name': 'resnet', 'norm': 'instance', 'padding': 'reflect', 'dropout': 0.0, 'blocks': 1, 'width': 3}
    )
    tiny.disc.update({'norm': 'instance', 'width': 3})
    tiny.loss.gan = 'lsgan'
    tiny.update({'pool': 3, 'batch_size': 2})
    tiny.optim.schedule = 'constant'
  return tiny


def batch_of(config):
  return next(data.train_iterator(data.get(config, 'train'), config))


def flat(tree):
  return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


@pytest.mark.parametrize(('blocks', 'count'), [(9, 11_378_179), (6, 7_837_699)])
def test_resnet_has_the_published_parameters(blocks, count):
  config = fields.defaults()
  config.gen.update({'name': 'resnet', 'norm': 'instance', 'padding': 'reflect', 'blocks': blocks})
  net = models.build(config.gen, 3, where='gen')
  x = jnp.zeros((1, 32, 32, 3))
  shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, dropout=False, running_stats=False), x)
  assert parameter_count(shapes['params']) == count


def test_its_patchgan_has_the_published_parameters():
  config = fields.defaults()
  config.disc.norm = 'instance'
  net = models.build(config.disc, 1, where='disc')
  shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, running_stats=False), jnp.zeros((1, 64, 64, 3)))
  assert parameter_count(shapes['params']) == 2_764_737


@pytest.mark.parametrize(
  ('downsample', 'upsample', 'norm'),
  [
    ('stride', 'transpose', 'batch'),
    ('stride', 'nearest', 'none'),
    ('blur', 'bilinear', 'instance'),
    ('blur', 'transpose', 'group'),
    ('stride', 'bilinear', 'layer'),
  ],
)
def test_every_choice_of_the_resnet_builds_and_has_gradients(tiny_cycle, downsample, upsample, norm):
  tiny_cycle.gen.update({'downsample': downsample, 'upsample': upsample, 'norm': norm, 'dropout': 0.5, 'width': 4})
  net = models.build(tiny_cycle.gen, 2, where='gen')
  x = jax.random.normal(jax.random.key(0), (2, 8, 12, 3))

  @jax.jit
  def run(x):
    variables = net.init(jax.random.key(1), x, dropout=False, running_stats=False)

    def loss(params):
      (y, _), _ = net.apply(
        {**variables, 'params': params},
        x,
        dropout=True,
        running_stats=False,
        rngs={'dropout': jax.random.key(2)},
        mutable=['batch_stats'],
      )
      return jnp.square(y - 0.5).mean(), y

    return jax.grad(loss, has_aux=True)(variables['params'])

  grads, y = run(x)
  assert y.shape == (2, 8, 12, 2)
  # A bias before a norm over each channel is void, and so are a batch norm's biases before another norm: not kernels.
  kernels = [g for path, g in jax.tree_util.tree_leaves_with_path(grads) if 'kernel' in str(path[-1])]
  assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in kernels)


def test_a_step_is_the_references(tiny_cycle):
  """Both generators first, on the same discriminators; then both discriminators, on the fakes of before."""
  tiny_cycle.pool = 0
  method = methods.get(tiny_cycle)
  gen, disc = models.build(tiny_cycle.gen, 3, where='gen'), models.build(tiny_cycle.disc, 1, where='disc')
  batch = batch_of(tiny_cycle)
  state = jax.jit(method.init)(jax.random.key(0), batch)
  stepped, metrics = jax.jit(method.train_step)(state, batch, jax.random.key(1))

  @jax.jit
  def reference(gens, discs, a, b):
    adam = optax.adam(2e-4, b1=0.5, b2=0.999)
    g = lambda p, x: gen.apply({'params': p}, x, dropout=False, running_stats=False)[0]  # noqa: E731
    d = lambda p, x: disc.apply({'params': p}, x, running_stats=False)[0]  # noqa: E731

    def gen_loss(gens):
      fake_b, fake_a = g(gens['ab'], a), g(gens['ba'], b)
      adversarial = ((d(discs['b'], fake_b) - 1) ** 2).mean() + ((d(discs['a'], fake_a) - 1) ** 2).mean()
      cycle = l1(g(gens['ba'], fake_b), a) + l1(g(gens['ab'], fake_a), b)
      identity = l1(g(gens['ba'], a), a) + l1(g(gens['ab'], b), b)
      return adversarial + 10 * cycle + 5 * identity, (fake_a, fake_b)

    def disc_loss(discs):
      halves = [
        0.5 * (((d(discs[k], real) - 1) ** 2).mean() + (d(discs[k], fake) ** 2).mean())
        for k, real, fake in (('a', a, fake_a), ('b', b, fake_b))
      ]
      return sum(halves), halves

    (loss, (fake_a, fake_b)), gen_grads = jax.value_and_grad(gen_loss, has_aux=True)(gens)
    disc_grads, halves = jax.grad(disc_loss, has_aux=True)(discs)
    gen_updates, disc_updates = (
      adam.update(gen_grads, adam.init(gens))[0],
      adam.update(disc_grads, adam.init(discs))[0],
    )
    return loss, halves, optax.apply_updates(gens, gen_updates), optax.apply_updates(discs, disc_updates)

  loss, halves, gens, discs = reference(state.params['gen'], state.params['disc'], batch['a'], batch['b'])
  assert metrics['loss/gen'] == pytest.approx(float(loss), rel=1e-5)
  assert [metrics['loss/disc_a'], metrics['loss/disc_b']] == pytest.approx([float(h) for h in halves], rel=1e-4)
  for ours, theirs in ((stepped.params['gen'], gens), (stepped.params['disc'], discs)):
    assert np.mean(np.abs(flat(ours) - flat(theirs)) > 1e-6) < 0.02


def test_the_generators_start_from_different_weights(tiny_cycle):
  method = methods.get(tiny_cycle)
  params = jax.jit(method.init)(jax.random.key(0), batch_of(tiny_cycle)).params
  assert not np.allclose(flat(params['gen']['ab']), flat(params['gen']['ba']))
  assert not np.allclose(flat(params['disc']['a']), flat(params['disc']['b']))


def test_discriminators_see_the_pool(tiny_cycle):
  """Once full, what they see differs from the newest fakes: the losses part from those of a run without a pool."""
  traces = []
  for size in (2, 0):
    tiny_cycle.pool = size
    method, batch = methods.get(tiny_cycle), batch_of(tiny_cycle)
    state, step = jax.jit(method.init)(jax.random.key(0), batch), jax.jit(method.train_step)
    trace = []
    for i in range(4):
      state, metrics = step(state, batch, jax.random.key(i))
      trace.append([float(metrics['loss/disc_a']), float(metrics['loss/disc_b'])])
    traces.append(np.array(trace))
  np.testing.assert_allclose(traces[0][0], traces[1][0], rtol=1e-6)  # still filling
  assert np.abs(traces[0][1:] - traces[1][1:]).max() > 1e-6


@pytest.mark.parametrize(
  'objective', ['wgan-gp', *(pytest.param(o, marks=pytest.mark.slow) for o in ('vanilla', 'hinge'))]
)
def test_other_objectives_train(tiny_cycle, objective):
  tiny_cycle.loss.gan = objective
  tiny_cycle.disc.norm = 'batch'
  method, batch = methods.get(tiny_cycle), batch_of(tiny_cycle)
  state, step = jax.jit(method.init)(jax.random.key(0), batch), jax.jit(method.train_step)
  before = state
  for i in range(2):
    state, metrics = step(state, batch, jax.random.key(i))
  assert all(np.isfinite(float(v)) for v in metrics.values())
  assert ('loss/gradient_penalty_a' in metrics) == (objective == 'wgan-gp')
  for which in 'ab':
    stats = [s.extra['batch_stats']['disc'][which] for s in (before, state)]
    assert not np.allclose(*map(flat, stats))


def test_a_generator_alone_starts_the_way_from_a_to_b(tiny_cycle, tmp_path):
  cycle = tiny_cycle.copy_and_resolve_references()
  with tiny_cycle.unlocked():
    tiny_cycle.update({'method': 'pix2pix', 'steps': 1})
    tiny_cycle.data.paired = True
    tiny_cycle.loss.gan = 'none'
  train.train(tiny_cycle, tmp_path / 'alone', mesh_spec='data=1')
  plan = make_plan(cycle, tmp_path / 'cycle', mesh_spec='data=1', init_from=tmp_path / 'alone')
  alone, both = whole_state(tmp_path / 'alone'), begin.fresh(plan, jax.random.key(0))
  jax.tree.map(np.testing.assert_array_equal, alone.params['gen'], both.params['gen']['ab'])
  assert not np.allclose(flat(alone.params['gen']), flat(both.params['gen']['ba']))


def logged(folder):
  """A run's log; the time that was spent waiting is no part of what is reproduced."""
  return [{k: v for k, v in line.items() if k != 'data/wait'} for line in read_log(folder / 'metrics.jsonl')]


def test_training_resumes_bit_for_bit_with_its_pool(tiny_cycle, tmp_path, monkeypatch):
  with tiny_cycle.unlocked():
    tiny_cycle.update({'steps': 8, 'checkpoint_every': 4, 'eval_every': 8})
  train.train(tiny_cycle, tmp_path / 'straight', mesh_spec='data=1')
  train.train(tiny_cycle, tmp_path / 'twice', mesh_spec='data=1', stop_at=4)
  shutil.copytree(tmp_path / 'twice', tmp_path / 'without')
  train.train(tiny_cycle, tmp_path / 'twice', mesh_spec='data=1')
  one, two = (whole_state(tmp_path / n) for n in ('straight', 'twice'))
  jax.tree.map(np.testing.assert_array_equal, one, two)
  assert one.extra['pool']['a']['count'] == 3
  assert logged(tmp_path / 'straight') == logged(tmp_path / 'twice')

  restore = checkpoint.restore_state

  def without_pool(*given):
    state = restore(*given)
    return state.replace(extra={**state.extra, 'pool': jax.tree.map(jnp.zeros_like, state.extra['pool'])})

  monkeypatch.setattr(checkpoint, 'restore_state', without_pool)
  train.train(tiny_cycle, tmp_path / 'without', mesh_spec='data=1')
  assert logged(tmp_path / 'straight') != logged(tmp_path / 'without')


@pytest.mark.slow
def test_one_and_two_devices_agree(tiny_cycle, tmp_path, double_precision):
  with tiny_cycle.unlocked():
    tiny_cycle.update({'steps': 6, 'batch_size': 2, 'precision': 'float64', 'eval_every': 100, 'samples': 0})
  for count in (1, 2):
    train.train(tiny_cycle, tmp_path / str(count), mesh_spec=f'data={count}')
  one, two = (logged(tmp_path / str(count)) for count in (1, 2))
  for a, b in zip(one, two, strict=True):
    assert a == pytest.approx(b, rel=1e-9, abs=1e-9)


# ---------------------------------------------------------------------------------------------- data without pairs
def test_earth_without_pairs_takes_a_and_b_from_other_blocks(tmp_path):
  config = fields.defaults()
  config.data.update(
    {'size': 64, 'dir': str(tmp_path), 'paired': False, 'load_size': (64, 64), 'crop_size': (64, 64)}
  )
  source = data.get(config, 'train')
  records = earth.Earth(config='64', data_dir=tmp_path).as_data_source(split='train')

  def block(index):
    return tuple(int(records[index][k]) * 2 // earth.BLOCK for k in 'yx')

  blocks = {side: {block(i) for i in source.items[side]} for side in 'ab'}
  assert not blocks['a'] & blocks['b']
  assert min(map(len, blocks.values())) > 15
  index = source.items['b'][5]
  np.testing.assert_array_equal(source.read(index, 'b')[0], records[index]['relief'])
  np.testing.assert_array_equal(source.read(source.items['a'][5], 'a')[0], records[source.items['a'][5]]['elevation'])
  assert data.get(config, 'test').paired


@pytest.fixture
def sets(tmp_path):
  """Seven images in A, four in B, of other sizes and names."""
  rng = np.random.default_rng(0)
  for folder, count in (('trainA', 7), ('trainB', 4), ('testA', 3), ('testB', 2)):
    (tmp_path / 'sets' / folder).mkdir(parents=True)
    for i in range(count):
      size = rng.integers(20, 40, 2)
      image = rng.integers(0, 256, (*size, 3), np.uint8)
      Image.fromarray(image).save(tmp_path / 'sets' / folder / f'{folder[0]}{folder[-1]}{i}.png')
  return tmp_path / 'sets'


def test_an_epoch_takes_each_a_once_and_draws_b(tiny_cycle, sets):
  with tiny_cycle.unlocked():
    tiny_cycle.data.update({'name': 'folders', 'path': str(sets), 'load_size': (16, 16), 'crop_size': (16, 16)})
    tiny_cycle.data.flip = False
    tiny_cycle.batch_size = 1
  source = data.get(tiny_cycle, 'train')
  assert len(source) == 7
  known = {
    side: {
      images.resize(images.read(p), (16, 16)).tobytes(): p.stem for p in (sets / f'train{side.upper()}').iterdir()
    }
    for side in 'ab'
  }
  iterator = data.train_iterator(source, tiny_cycle)
  drawn = [
    tuple(known[side][images.to_uint8(batch[side][0]).tobytes()] for side in 'ab')
    for batch in (next(iterator) for _ in range(70))
  ]
  for epoch in range(10):
    assert len({a for a, _ in drawn[epoch * 7 : epoch * 7 + 7]}) == 7
  partners = {a: {b for x, b in drawn if x == a} for a, _ in drawn}
  assert max(map(len, partners.values())) > 2  # another partner each time
  assert {b for _, b in drawn} == set(known['b'].values())


def test_crops_and_flips_of_a_and_b_are_independent(tiny_cycle):
  tiny_cycle.data.update({'load_size': (20, 30), 'crop_size': (12, 16)})
  view = data.augment(tiny_cycle.data, paired=False)
  rows, cols = np.mgrid[:20, :30]
  image = np.stack([rows, cols, rows], axis=-1).astype(np.uint8)
  outs = [view({'a': image, 'b': image, 'name': ''}, np.random.default_rng(i)) for i in range(20)]
  assert sum(np.array_equal(o['a'], o['b']) for o in outs) < 5


def test_from_two_folders_to_both_directions(tiny_cycle, sets, tmp_path):
  with tiny_cycle.unlocked():
    tiny_cycle.data.update({'name': 'folders', 'path': str(sets)})
    tiny_cycle.update({'steps': 3, 'evals': 'pixel'})
  run = tmp_path / 'run'
  train.train(tiny_cycle, run, mesh_spec='data=1')
  scored = {name for line in read_log(run / 'metrics.jsonl') for name in line if name.startswith('val/')}
  names = {name for name in metrics.without_weights() if metrics.METRICS[name].whole_set}
  assert scored == {f'val/{name}{way}' for name in names for way in ('', '_ba')}  # none that needs partners
  grid = images.read(run / 'samples' / 'step_00000003.png')
  assert grid.shape[1] == 6 * 24 + 5 * 2  # there and back, both ways
  outputs = []
  for direction in ('ab', 'ba'):
    translate.translate(run, sets / 'testA', tmp_path / direction, direction=direction)
    outputs.append(images.read(tmp_path / direction / 'tA0.png'))
  assert not np.array_equal(*outputs)
  result = scoring.evaluate(run, 'test')
  assert set(result['scores']) == {'cyclegan', 'copy', 'constant'} and set(result['scores']['copy']) == names
  assert not list((run / 'eval_test').glob('*_target.png')) and list((run / 'eval_test').glob('*_output.png'))


def test_scores_in_both_directions_where_there_is_a_truth(tiny_cycle, tmp_path):
  tiny_cycle.data.channels_a = tiny_cycle.data.channels_b = 3
  train.train(tiny_cycle, tmp_path / 'run', mesh_spec='data=1')
  ab, ba = (scoring.evaluate(tmp_path / 'run', 'test', direction=d) for d in ('ab', 'ba'))
  same = [{name: of['scores']['copy'][name] for name in ('psnr', 'ssim', 'l1')} for of in (ab, ba)]
  assert same[0] == pytest.approx(same[1], rel=1e-4)  # of the same two images
  assert ab['scores']['constant'] != ba['scores']['constant']
  assert {p.name for p in (tmp_path / 'run').glob('eval_*.json')} == {'eval_test.json', 'eval_test_ba.json'}
  assert 'val/psnr_ba' in read_log(tmp_path / 'run' / 'metrics.jsonl')[-1]


def prepare_cycle_gan(folder):
  """What TFDS's own builder leaves of cycle_gan/horse2zebra: its splits and features, few and small images."""
  with tfds.core.registered.skip_registration():

    class CycleGan(tfds.core.GeneratorBasedBuilder):
      VERSION = tfds.builder_cls('cycle_gan').BUILDER_CONFIGS[0].version
      BUILDER_CONFIGS = [tfds.core.BuilderConfig(name='horse2zebra', version=VERSION)]  # noqa: RUF012

      def _info(self):
        features = {'image': tfds.features.Image(), 'label': tfds.features.ClassLabel(names=['A', 'B'])}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

      def _split_generators(self, dl_manager):
        counts = {'trainA': 5, 'trainB': 3, 'testA': 2, 'testB': 2}
        return {split: self._generate_examples(split, count) for split, count in counts.items()}

      def _generate_examples(self, split, count):
        for i in range(count):
          image = np.full((20, 24, 3), 40 * i + (5 if split[-1] == 'A' else 25), np.uint8)
          yield str(i), {'image': _records.png(image), 'label': split[-1]}

  CycleGan(config='horse2zebra', data_dir=folder).download_and_prepare(file_format='array_record')


def test_tfds_sets_are_read_as_its_builder_left_them(tiny_cycle, tmp_path):
  with tiny_cycle.unlocked():
    tiny_cycle.data.update({'name': 'cycle_gan', 'task': 'horse2zebra', 'dir': str(tmp_path)})
  if not importlib.util.find_spec('tensorflow'):
    with pytest.raises(BadInput, match='TFDS needs TensorFlow'):
      data.get(tiny_cycle, 'train')
  prepare_cycle_gan(tmp_path)
  source = data.get(tiny_cycle, 'train')
  assert not source.paired
  assert len(source) == 5
  levels = {side: {int(source.read(i, side)[0][0, 0, 0]) for i in source.items[side]} for side in 'ab'}
  assert levels == {'a': {5, 45, 85, 125, 165}, 'b': {25, 65, 105}}
  assert next(data.train_iterator(source, tiny_cycle))['a'].shape == (2, 16, 24, 3)
  assert len(data.get(tiny_cycle, 'test')) == 2


@pytest.mark.parametrize(
  ('edits', 'words'),
  [
    ({'method': 'pix2pix'}, 'pix2pix learns from pairs, and these images have none'),
    ({'loss.gan': 'none'}, 'CycleGAN has nothing to learn from'),
    ({'data.channels_a': 1}, 'an identity loss needs a and b of equal channels'),
    ({'gen.blocks': 1, 'data.crop_size': (14, 20)}, 'multiples of 4'),
    ({'gen.downsample': 'blurr'}, "did you mean 'blur'"),
    ({'data.name': 'cycle_gan', 'data.task': 'horse2zbra'}, "did you mean 'horse2zebra'"),
  ],
)
def test_what_cannot_be_is_said(tiny_cycle, tmp_path, edits, words):
  with tiny_cycle.unlocked():
    for name, value in edits.items():
      *path, last = name.split('.')
      node = tiny_cycle
      for part in path:
        node = node[part]
      node[last] = value
  with pytest.raises(BadInput, match=words):
    train.train(tiny_cycle, tmp_path / 'run', mesh_spec='data=1')
  assert not (tmp_path / 'run').exists()
