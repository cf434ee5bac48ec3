"""The project holds together: imports, references, docstrings, versions, documents."""

import ast
import importlib.metadata
import importlib.resources
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import pytest

import fedjax_opt
from fedjax_opt.methods.registry import METHODS

PACKAGE = "fedjax_opt"
ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / PACKAGE
FILES = {path.relative_to(FOLDER): path.read_text() for path in FOLDER.rglob("*.py")}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
README = (ROOT / "README.md").read_text()

# Imports go to lower levels only.
LEVELS = (
    ("types", "tree", "keys", "static", "linalg", "checks", "masks", "needs"),
    ("compressors", "geometry", "aggregators", "timing", "problems", "theory"),
    ("transforms", "estimators"),
    ("mechanisms", "events"),
    ("simulate",),
    ("methods",),
    ("experiment",),
    ("cli",),
)
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}

# Where the name that is imported is not that of the distribution.
DISTRIBUTION = {"sklearn": "scikit-learn", "orbax": "orbax-checkpoint"}

LISTS = {"__init__", "registry", "entry"}  # in methods/, beside the recipes

ARXIV_ID = r"\d{4}\.\d{4,5}"  # four digits before 2015


def violations(check, files=None) -> list[str]:
    """`file:line: what` for everything that a check finds in the package."""
    return [
        f"{path}:{line}: {what}"
        for path, source in sorted((FILES if files is None else files).items())
        for line, what in check(path, ast.parse(source))
    ]


# ---------------------------------------------------------------- imports


def modules_imported(path: pathlib.Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of everything that a file imports."""
    package = (PACKAGE, *path.parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def wrong_imports(path: pathlib.Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Imports that do not go to a lower level."""
    own = path.parts[0].removesuffix(".py")
    if own == "__init__":  # of the package: above everything
        return
    if own not in LEVEL:
        yield 1, f"{own} has no level"
        return
    for line, name in modules_imported(path, tree):
        package, _, rest = name.partition(".")
        part = rest.partition(".")[0]
        if package != PACKAGE or part == own:
            continue
        if part not in LEVEL:
            yield line, f"imports {name}, which has no level"
        elif LEVEL[part] >= max(LEVEL[own], 1):  # within level 0 is fine
            yield line, f"level {LEVEL[own]} imports {name} of level {LEVEL[part]}"


def undeclared_imports(path: pathlib.Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Imports of distributions that pyproject.toml does not name."""
    project = PYPROJECT["project"]
    declared = project["dependencies"] + project["optional-dependencies"]["cluster"]
    names = [re.split(r"[<>=~! ]", d)[0] for d in declared]
    for line, name in modules_imported(path, tree):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top != PACKAGE:
            if DISTRIBUTION.get(top, top) not in names:
                yield line, f"imports {top}, which is no declared dependency"


def test_imports_go_to_lower_levels():
    assert violations(wrong_imports) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("mechanisms/x.py", "from ..simulate.distribute import distribute"),
        ("mechanisms/x.py", "from .. import compressors, simulate"),
        ("mechanisms/x.py", "from ..events import asgd"),
        ("compressors/x.py", "import fedjax_opt.geometry"),
        ("compressors/x.py", "def f():\n    from fedjax_opt import run"),
        ("compressors/deep/x.py", "from ...geometry import l2"),
        ("tree.py", "from . import compressors"),
        ("experiment/x.py", "from ..cli import main"),
        ("elsewhere/x.py", "import math"),
    ],
)
def test_a_wrong_import_is_found(path, source):
    assert len(violations(wrong_imports, {pathlib.Path(path): source})) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("mechanisms/x.py", "import jax\nfrom ..compressors.wrap import per_leaf"),
        ("mechanisms/x.py", "from .. import checks, tree\nfrom .ef21 import ef21"),
        ("mechanisms/x.py", "from . import ef21"),
        ("types.py", "from .keys import Keys"),
        ("cli.py", "from .experiment import run\nfrom . import methods"),
        ("__init__.py", "from . import cli"),
    ],
)
def test_a_right_import_passes(path, source):
    assert violations(wrong_imports, {pathlib.Path(path): source}) == []


def test_what_is_imported_is_a_declared_dependency():
    assert violations(undeclared_imports) == []


def test_an_undeclared_import_is_found():
    files = {pathlib.Path("tree.py"): "import math, jax, torch.nn"}
    assert violations(undeclared_imports, files) == [
        "tree.py:1: imports torch, which is no declared dependency"
    ]


CHANGED_CONFIG = f"""
import importlib, json, pkgutil
import jax
before = dict(jax.config.values)
import {PACKAGE}
for module in pkgutil.walk_packages({PACKAGE}.__path__, "{PACKAGE}."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
after = dict(jax.config.values)
changed = [name for name in after if after[name] != before.get(name)]
print(json.dumps([changed, jax.config.jax_enable_x64]))
"""


def test_importing_changes_no_jax_config():
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    found = subprocess.run(
        [sys.executable, "-c", CHANGED_CONFIG],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == [[], False]


# ---------------------------------------------------------------- style


def forbidden(path: pathlib.Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Checks that vanish under -O, that hide errors, that guess what an object is."""
    for node in ast.walk(tree):
        match node:
            case ast.Assert():
                yield node.lineno, "assert: raise ValueError or TypeError"
            case ast.ExceptHandler(type=None):
                yield node.lineno, "bare except: name the exception"
            case ast.Call(func=ast.Name(id="hasattr")):
                yield node.lineno, "hasattr: declare it in types.py"


def undocumented(path: pathlib.Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Modules, and public functions and classes, without a docstring."""
    if ast.get_docstring(tree) is None:
        yield 1, "the module has no docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            if not node.name.startswith("_") and ast.get_docstring(node) is None:
                yield node.lineno, f"{node.name} has no docstring"


def hidden_exports(path: pathlib.Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Names in an `__init__` that are not re-exported as themselves, or private."""
    if path.name != "__init__.py":
        return
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.asname != alias.name or alias.name.startswith("_"):
                    yield node.lineno, f"re-export {alias.name} as {alias.name}"


def test_nothing_forbidden():
    assert violations(forbidden) == []


def test_the_forbidden_is_found():
    source = "try:\n    assert x\nexcept:\n    hasattr(x, 'y')\nexcept ValueError: ..."
    found = violations(forbidden, {pathlib.Path("tree.py"): source})
    assert sorted(line.split(":")[1] for line in found) == ["2", "3", "4"]


def test_everything_public_has_a_docstring():
    assert violations(undocumented) == []


def test_a_missing_docstring_is_found():
    source = "def f(): ...\ndef _g(): ...\nclass C:\n    '''Has one.'''"
    found = violations(undocumented, {pathlib.Path("tree.py"): source})
    assert len(found) == 2


def test_folders_re_export_explicitly():
    assert violations(hidden_exports) == []


# ---------------------------------------------------------------- references


def bibliography() -> dict[str, dict[str, str]]:
    """{citation key: {field: value}} of references.bib."""
    text = (ROOT / "references.bib").read_text()
    entries = re.findall(r"^@misc\{(\w+),\n(.*?)^\}$", text, re.MULTILINE | re.DOTALL)
    assert len({key for key, _ in entries}) == text.count("@")
    fields = r"^ +(\w+) += \{(.*)\},$"
    return {key: dict(re.findall(fields, body, re.MULTILINE)) for key, body in entries}


def test_every_paper_is_in_the_bibliography():
    known = {entry["eprint"] for entry in bibliography().values()}
    cited = [
        (str(path), found)
        for path, source in FILES.items()
        for found in re.findall(rf"arXiv:\s*({ARXIV_ID})", source)
    ]
    cited += [(name, entry.arxiv) for name, entry in METHODS.items()]
    assert [(where, found) for where, found in cited if found not in known] == []


def test_bibliography_is_well_formed():
    entries = bibliography()
    assert len({entry["eprint"] for entry in entries.values()}) == len(entries)
    for key, entry in entries.items():
        assert set(entry) == {"author", "title", "year", "eprint", "archiveprefix"}, key
        assert re.fullmatch(ARXIV_ID, entry["eprint"]), key
        assert entry["year"] == f"20{entry['eprint'][:2]}", key  # of the first version


# ---------------------------------------------------------------- documents


def test_readme_lists_the_methods():
    row = rf"^\| `(\w+)` \|.*\| ({ARXIV_ID}) \|$"
    listed = re.findall(row, README, re.MULTILINE)
    assert listed == [(name, entry.arxiv) for name, entry in METHODS.items()]


def test_every_recipe_is_registered():
    files = {path.stem for path in FILES if path.parent.name == "methods"}
    assert set(METHODS) == {f for f in files - LISTS if not f.startswith("entries")}


def test_readme_examples_run(capsys):
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert blocks
    names = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/index.md"]
)
def test_links_lead_somewhere(name):
    document = ROOT / name
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_worked_example_is_the_code():
    source = FILES[pathlib.Path("mechanisms/ef21.py")]
    head, _, code = source.partition('\n    """\n')  # the end of ef21's docstring
    assert "def ef21(" in head and "def server(" in code
    assert code in (ROOT / "CONTRIBUTING.md").read_text()


def test_version_is_the_same_everywhere():
    citation = (ROOT / "CITATION.cff").read_text()
    (cited,) = re.findall(r"^version: (\S+)$", citation, re.MULTILINE)
    installed = importlib.metadata.version("fedjax-opt")
    assert cited == PYPROJECT["project"]["version"] == installed


def test_type_marker_ships():
    assert importlib.resources.files(fedjax_opt).joinpath("py.typed").is_file()
