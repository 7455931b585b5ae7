"""What the package's structure promises: short files and functions, no circles, nets without losses."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = {
  '.'.join(p.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__'): p
  for p in (ROOT / 'i2i_jax').rglob('*.py')
}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}


def imports(name: str) -> set[str]:
  """The modules of the package that a module imports when it is imported."""
  found = set()
  for node in TREES[name].body:
    if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('i2i_jax'):
      found |= {m if (m := f'{node.module}.{a.name}') in FILES else node.module for a in node.names}
  return found


def test_files_have_at_most_400_lines():
  assert [n for n, p in FILES.items() if len(p.read_text().splitlines()) > 400] == []


def test_functions_have_at_most_80_lines_of_their_own_and_train_100():
  for name, tree in TREES.items():
    for node in ast.walk(tree):
      if isinstance(node, ast.FunctionDef):
        length = node.end_lineno - node.lineno + 1
        own = length - sum(n.end_lineno - n.lineno + 1 for n in node.body if isinstance(n, ast.FunctionDef))
        assert own <= (100 if (name, node.name) == ('i2i_jax.train', 'train') else 80), (name, node.name, own)


def test_public_functions_are_annotated():
  for name, tree in TREES.items():
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for node in [*tree.body, *(method for owner in classes for method in owner.body)]:
      if isinstance(node, ast.FunctionDef):
        of = node.args
        given = [*of.posonlyargs, *of.args, *of.kwonlyargs, *filter(None, (of.vararg, of.kwarg))]
        bare = [a.arg for a in given if a.annotation is None and a.arg not in ('self', 'cls')]
        assert not bare and node.returns, (name, node.name, bare)


def test_no_module_imports_itself_on_some_way():
  def reached(name, seen):
    for other in imports(name) - seen:
      seen.add(other)
      reached(other, seen)
    return seen

  for name in FILES:
    assert name not in reached(name, set()), name


def test_nets_import_no_losses():
  for name in FILES:
    if name.startswith(('i2i_jax.models', 'i2i_jax.layers')):
      assert not [m for m in imports(name) if 'losses' in m], name


@pytest.mark.parametrize(
  ('folder', 'makers'),
  [
    ('methods', {'create'}),
    ('models', {'generator', 'discriminator'}),
    ('data/sources', {'source'}),
    ('evaluation/protocols', {'PROTOCOL'}),
    ('evaluation/features', {'pool', 'stages', 'bands', 'classes'}),
  ],
)
def test_a_registry_holds_its_entries_alone(folder, makers):
  """An entry has what the registry asks for; what is none begins with _ or base."""
  for path in (ROOT / 'i2i_jax' / folder).glob('*.py'):
    if not path.name.startswith(('_', 'base')):
      body = ast.parse(path.read_text()).body
      names = {n.name for n in body if isinstance(n, ast.FunctionDef)}
      names |= {t.id for n in body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
      assert names & makers, path
