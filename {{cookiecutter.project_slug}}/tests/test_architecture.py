"""Which module may import which, and rules that keep modules readable. Needs no servers.

The files are parsed: an import graph cannot see into folders such as `[id]`.
"""

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
APP = sorted(ROOT.glob("app/**/*.py"))
PACKAGES = sorted(ROOT.glob("packages/*/src/**/*.py"))
ENTRY_POINTS = {"main", "openapi", "seed", "jobs", "relay", "worker", "rotate_keys"}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> set[tuple[str, str]]:
    """Module and name of each `from module import name`; the name is empty for `import module`."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {(node.module or "", alias.name) for alias in node.names}
    return found


def app_modules(path: Path) -> set[str]:
    """The parts of `app` that a file imports: `accounts`, `deps`, …"""
    names = {f"{module}.{name}" for module, name in imports(path) if module.split(".")[0] == "app"}
    return {name.split(".")[1] for name in names}


@pytest.mark.parametrize("path", APP, ids=name)
def test_imports_go_downwards(path: Path):
    """Routes use dependencies and features; features use features; nothing imports routes."""
    layer = path.relative_to(ROOT / "app").with_suffix("").parts[0]
    forbidden = {"api", "main"}
    if layer in ENTRY_POINTS:
        forbidden = {"api"}
    elif layer not in ("api", "deps"):
        forbidden |= {"deps"}
    assert not app_modules(path) & forbidden


@pytest.mark.parametrize("path", PACKAGES, ids=name)
def test_packages_do_not_know_the_product(path: Path):
    assert not [module for module, _ in imports(path) if module.split(".")[0] == "app"]
    called = {ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)}
    assert "get_settings" not in called
    docstrings = {
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    texts = {
        node.value
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in docstrings
    }
    assert not [text for text in texts if text.startswith(("/api/", "__Host-")) or "saas-starter" in text]


@cache
def public_names(module: str) -> set[str] | None:
    """The names in a module's `__all__`, or None if it has none."""
    spec = find_spec(module)
    assert spec and spec.origin, module
    for node in tree(Path(spec.origin)).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return None


@pytest.mark.parametrize("path", APP, ids=name)
def test_the_product_imports_public_names_only(path: Path):
    for module, imported in imports(path):
        if module.split(".")[0] not in ("devstack", "filerouter", "saaskit"):
            continue
        if module == "saaskit":  # `from saaskit import cache`
            module, imported = f"{module}.{imported}", ""
        assert public_names(module) is not None, f"{module} is internal: it has no __all__"
        assert not imported or imported in (public_names(module) or ()), f"{module}.{imported} is internal"


DANGEROUS = {
    *("subprocess", "pty", "ctypes", "os.system", "os.popen"),
    *("pickle", "marshal", "shelve", "dill", "xml", "lxml", "yaml", "mako"),
    *("hashlib.md5", "hashlib.sha1", "zipfile", "tarfile"),
}


@pytest.mark.parametrize("path", APP, ids=name)
def test_nothing_dangerous_is_used(path: Path):
    """No programs, no code from text, no unsafe parsers, no weak hashes. Ruff refuses `random` (S311)."""
    used = {ast.unparse(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
    used |= {f"{module}.{name}".rstrip(".") for module, name in imports(path)}
    assert not {name for name in used if {name, name.partition(".")[0]} & DANGEROUS}
    called = {ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)}
    assert not called & {"eval", "exec", "compile", "__import__"}


@pytest.mark.parametrize("path", APP, ids=name)
def test_services_do_not_commit(path: Path):
    """A request's transaction is committed by `Db`. E-mail jobs commit before they send."""
    commits = [
        node for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute) and node.attr == "commit"
    ]
    assert not commits or name(path) == "app/accounts/emails.py"


@pytest.mark.parametrize("path", APP + PACKAGES, ids=name)
def test_modules_have_at_most_400_lines(path: Path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", sorted(ROOT.glob("app/api/**/*.py")), ids=name)
def test_handlers_are_small(path: Path):
    """At most 12 lines, and no `try`: services raise the errors."""
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.body[0].lineno + 1
            assert lines <= 12, f"{node.name} is long: move logic into a service"
            assert not any(isinstance(part, ast.Try) for part in ast.walk(node)), f"{node.name} has a try"
