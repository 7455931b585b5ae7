"""Label images as channels: ids that nothing mixes, edges of instances, the same crop and mirror as the photo's."""

import numpy as np
import pytest
from PIL import Image

from i2i_jax import check, data, fields, train
from i2i_jax.config import from_dict
from i2i_jax.data import images, labels
from i2i_jax.errors import BadInput
from i2i_jax.evaluation import protocols, scoring
from i2i_jax.inference.predictor import load
from i2i_jax.layers import conv_forms
from i2i_jax.runs.stored import read_json
from i2i_jax.translate import translate
from tests import packed
from tests.small import tiny_config

COLOURS = ((0, 0, 0), (255, 0, 0), (0, 200, 0), (40, 40, 255))


def config_of(root, count=35, **changes):
  config = fields.defaults()
  given = {'name': 'labels', 'path': str(root), 'onehot': True, 'edges': True, 'channels_a': count + 1}
  config.data.update({**given, 'load_size': (32, 64), 'crop_size': (24, 40), **changes})
  return config


# ------------------------------------------------------------------------------------------------- ids and edges
def edges_by_hand(ids):
  """Pixel by pixel, as it is said."""
  height, width = ids.shape
  edge = np.zeros(ids.shape, bool)
  for y in range(height):
    for x in range(width):
      around = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
      edge[y, x] = any(0 <= v < height and 0 <= u < width and ids[v, u] != ids[y, x] for v, u in around)
  return edge


def test_an_edge_is_where_a_neighbour_has_another_number():
  ids = np.kron(np.random.default_rng(0).integers(0, 4, (4, 5)), np.ones((3, 2), int)) * 256 + 26_001
  np.testing.assert_array_equal(labels.edges(ids), edges_by_hand(ids))
  np.testing.assert_array_equal(labels.edges(np.stack([ids, ids.T.reshape(ids.shape)]))[0], edges_by_hand(ids))
  one = np.zeros((5, 5), int)
  one[2, 2] = 1
  assert labels.edges(one).astype(int).tolist() == [
    [0, 0, 0, 0, 0],
    [0, 0, 1, 0, 0],
    [0, 1, 1, 1, 0],
    [0, 0, 1, 0, 0],
    [0, 0, 0, 0, 0],
  ]


@pytest.mark.parametrize('size', [(20, 31), (7, 9), (50, 64), (13, 90)])
def test_ids_are_resized_as_pillow_resizes_to_the_nearest(size):
  ids = np.random.default_rng(1).integers(0, 256, (20, 31, 1))
  theirs = Image.fromarray(ids[..., 0].astype(np.uint8)).resize(size[::-1], Image.Resampling.NEAREST)
  np.testing.assert_array_equal(images.resize(ids.astype(np.int32), size)[..., 0], np.asarray(theirs))


def test_ids_are_read_as_they_are_stored(tmp_path):
  ids = np.array([[0, 7], [255, 300]])
  Image.fromarray(ids.astype(np.uint16)).save(tmp_path / 'wide.png')
  small = Image.fromarray(np.array([[0, 7], [33, 34]], np.uint8))
  small.save(tmp_path / 'gray.png')
  small.putpalette([c for colour in labels.palette(35) for c in colour])
  small.save(tmp_path / 'palette.png')
  assert labels.read(tmp_path / 'wide.png')[..., 0].tolist() == ids.tolist()
  for name in ('gray', 'palette'):
    assert labels.read(tmp_path / f'{name}.png')[..., 0].tolist() == [[0, 7], [33, 34]]
  Image.new('RGB', (2, 2)).save(tmp_path / 'colour.png')
  with pytest.raises(BadInput, match=r'colour\.png: ids of labels are gray'):
    labels.read(tmp_path / 'colour.png')


def test_colours_to_look_at_differ():
  assert len({tuple(colour) for colour in labels.palette(256)}) == 256


# ------------------------------------------------------------------------------------------------------ pipeline
def photo_of(ids):
  """What `packed.cityscapes` paints for labels."""
  return np.stack([ids * 7, 255 - ids * 7, ids], -1)


def test_batches_have_a_channel_a_label_and_follow_the_photo(tmp_path):
  config = config_of(packed.cityscapes(tmp_path / 'cityscapes'))
  config.batch_size = 3
  source = data.get(config, 'train')
  assert source[0]['a'].shape == (32, 64, 2) and source[0]['a'][..., 1].max() > 255
  iterator, seen = data.train_iterator(source, config), set()
  for _ in range(8):
    batch = next(iterator)
    assert batch['a'].shape == (3, 24, 40, 36) and batch['b'].shape == (3, 24, 40, 3)
    assert set(np.unique(batch['a'])) == {0, 1}
    assert (batch['a'][..., :35].sum(-1) == 1).all()
    ids = batch['a'][..., :35].argmax(-1)
    np.testing.assert_array_equal(images.to_uint8(batch['b']), photo_of(ids))
    seen |= {x.tobytes() for x in ids}
  assert len(seen) > 12  # crops and mirrored ones


def test_edges_are_of_the_instances_at_the_size_of_training(tmp_path):
  """Of 32x64 px halved: not the edges of the large image, thinned, but those that the small one has."""
  config = config_of(packed.cityscapes(tmp_path / 'cityscapes'), load_size=(16, 32), crop_size=(16, 32))
  batch = next(data.eval_batches(data.get(config, 'test'), config, 2))
  for i in range(2):
    instances = np.asarray(Image.open(tmp_path / 'cityscapes' / 'test_inst' / f'aachen_{i}_instanceIds.png'))
    small = Image.fromarray(instances.astype(np.int32)).resize((32, 16), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(batch['a'][i, ..., 35], edges_by_hand(np.asarray(small)))


def coloured(root, direction):
  """Side by side, in JPEG files: a photo, and a label image in COLOURS on the side that `direction` begins from."""
  ids = np.kron(np.random.default_rng(0).integers(0, 4, (4, 4)), np.ones((8, 8), int))
  sides = [np.array(COLOURS, np.uint8)[ids], packed.picture(0, size=(32, 32))]
  both = np.concatenate(sides if direction == 'ab' else sides[::-1], axis=1)
  for split in ('train', 'test'):
    (root / split).mkdir(parents=True, exist_ok=True)
    Image.fromarray(both).save(root / split / '1.jpg', quality=90, subsampling=0)
  return ids


@pytest.mark.parametrize('direction', ['ab', 'ba'])
def test_colours_become_labels_whatever_the_source(tmp_path, direction):
  ids = coloured(tmp_path, direction)
  config = config_of(tmp_path, 4, name='folders', edges=False, channels_a=4, labels=COLOURS, direction=direction)
  config.data.update({'load_size': (32, 32), 'crop_size': (32, 32)})
  np.testing.assert_array_equal(data.get(config, 'train')[0]['a'][..., 0], ids)
  batch = next(data.eval_batches(data.get(config, 'test'), config, 1))
  np.testing.assert_array_equal(batch['a'][0].argmax(-1), ids)


@pytest.mark.parametrize(
  ('changes', 'words'),
  [
    ({'channels_a': 20}, r'aachen_0_labelIds: labels are from 0 to 18, and here up to'),
    ({'edges': False, 'channels_a': 1}, r'config\.data\.channels_a = 1'),
    ({'paired': False}, 'label images are the inputs of pairs'),
    ({'labels': COLOURS}, 'pictures have no instances'),
    ({'labels': COLOURS, 'edges': False, 'channels_a': 3}, r'channels_a = 3: config\.data\.labels has 4'),
    ({'degrade': 'gray'}, 'leave out one'),
    ({'path': ''}, 'is no folder'),
    ({'onehot': False}, r'config\.data\.onehot=True'),
  ],
)
def test_what_cannot_be_is_said(tmp_path, changes, words):
  root = packed.cityscapes(tmp_path / 'cityscapes')
  with pytest.raises(BadInput, match=words):
    data.get(config_of(root, **changes), 'train')


def test_files_of_one_place_must_be_there_and_of_one_size(tmp_path):
  root = packed.cityscapes(tmp_path / 'cityscapes', splits=('train',))
  Image.new('RGB', (64, 30)).save(root / 'train_img' / 'aachen_1_left.png')
  with pytest.raises(BadInput, match='are of one picture and must have one size'):
    data.get(config_of(root), 'train')
  (root / 'train_inst' / 'aachen_2_instanceIds.png').unlink()
  with pytest.raises(BadInput, match='3 in train_label, 2 in train_inst, 3 in train_img'):
    data.get(config_of(root), 'train')


# --------------------------------------------------------------------------------------------------- a run of it
@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A net that has learnt two updates of five labels and edges."""
  folder = tmp_path_factory.mktemp('labels')
  root = packed.cityscapes(folder / 'streets', labels=5)
  config = tiny_config()
  with config.unlocked():
    config.data.update(config_of(root, 5, load_size=(16, 24), crop_size=(16, 24)).data)
    config.update({'steps': 2, 'eval_every': 2, 'checkpoint_every': 2, 'batch_size': 2})
  with conv_forms.plain():  # which compiles in less than half the time
    train.train(config, folder / 'run', mesh_spec='data=1')
  return folder


def test_a_label_image_goes_in_and_a_photo_comes_out(run, tmp_path, capsys):
  assert translate(run / 'run', run / 'streets' / 'test_label', tmp_path / 'out') == 0
  outputs = {path.stem: images.read(path) for path in (tmp_path / 'out').glob('*.png')}
  assert {output.shape for output in outputs.values()} == {(32, 64, 3)} and len(outputs) == 3
  net = load(run / 'run')
  file = run / 'streets' / 'test_label' / 'aachen_1_labelIds.png'
  assert labels.instances_of(file) == run / 'streets' / 'test_inst' / 'aachen_1_instanceIds.png'
  ids = labels.read(file, labels.instances_of(file))
  np.testing.assert_array_equal(net.translate_one(ids, index=1), outputs[file.stem])
  flat = ids.copy()
  flat[..., 1] = 0  # one instance: no edges
  assert not np.array_equal(net.translate_one(flat, index=1), outputs[file.stem])
  full = net.translate([ids[:30, :50]], size='full')
  assert full[0].shape == (30, 50, 3)
  with pytest.raises(BadInput, match=r'a label image is int32 \[H, W, 2\]'):
    net.translate([outputs[file.stem]])


def test_a_look_at_label_images_shows_their_colours(run, tmp_path):
  config = from_dict(read_json(run / 'run' / 'config.json'))
  check.check(config, tmp_path / 'check')
  stored = read_json(tmp_path / 'check' / 'check.json')
  labels_seen, photos = (stored['splits']['train'][side] for side in 'ab')
  assert labels_seen['images'] == photos['images'] == 3 and len(labels_seen['mean']) == 3
  assert (tmp_path / 'check' / 'check.html').stat().st_size > 10_000


def test_label_images_that_do_not_do_are_passed_over(run, tmp_path, capsys):
  (tmp_path / 'x_label').mkdir()
  (tmp_path / 'x_inst').mkdir()
  for i, name in enumerate(('good', 'high')):
    ids = np.full((16, 24), 5 * i, np.uint8)
    for kind in ('label', 'inst'):
      Image.fromarray(ids).save(tmp_path / f'x_{kind}' / f'{name}.png')
  assert translate(run / 'run', tmp_path / 'x_label', tmp_path / 'out') == 1
  assert 'high.png: labels are from 0 to 4, and here up to 5' in capsys.readouterr().err
  (tmp_path / 'x_inst' / 'good.png').unlink()
  assert translate(run / 'run', tmp_path / 'x_label', tmp_path / 'out2') == 2
  assert 'needs the edges of instances' in capsys.readouterr().err


def test_outputs_are_no_label_images_where_inputs_are(tiny):
  with tiny.unlocked():
    tiny.data.labels = COLOURS
  for onehot in (False, True):
    tiny.data.onehot = onehot
    assert ('accuracy' in scoring.names_of(protocols.get('pixel'), tiny, True)) is not onehot


def test_scores_and_pictures_of_it(run):
  result = scoring.evaluate(run / 'run', 'test')
  assert {'pix2pix', 'copy', 'linear', 'constant'} == result['scores'].keys()
  # Photos are a function of the label, so a regression on the labels' colours beats a constant.
  assert result['scores']['linear']['psnr'] > result['scores']['constant']['psnr']
  shown = images.read(run / 'run' / 'eval_test' / 'aachen_0_labelIds_input.png')
  ids = images.resize(labels.read(run / 'streets' / 'test_label' / 'aachen_0_labelIds.png'), (16, 24))[..., 0]
  np.testing.assert_array_equal(shown, labels.palette(5)[ids])
  assert {images.read(p).shape for p in (run / 'run' / 'samples').glob('*.png')}
