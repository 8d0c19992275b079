"""Who may import whom. Reads the files: a tool that imports packages cannot see into bracket folders."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = {
    "main": {"api", "pages", "deps", "services", "models", "schemas", "core", "settings"},
    "seed": {"models", "core", "settings"},
    "rotate_keys": {"services", "core", "settings"},
    "probe": set(),
    "relay": {"jobs", "core", "settings"},
    "worker": {"jobs", "core", "settings"},
    "api": {"deps", "schemas", "services", "jobs", "core"},
    "pages": {"deps", "schemas", "services", "jobs", "core"},
    "deps": {"services", "models", "core", "settings"},
    "jobs": {"services", "schemas", "core", "settings"},
    "services": {"models", "schemas", "upstreams", "core", "settings"},
    "schemas": {"core"},
    "models": {"core"},
    "upstreams": {"core", "settings"},
    "core": {"setting_types", "settings"},
    "settings": {"setting_types", "unsafe"},
    "setting_types": {"unsafe"},
    "unsafe": set(),
}
"""Layer of `app` → the layers that it may import besides itself. Route files import no route files."""
ROUTES = {"api", "pages"}
FILES = sorted(
    path
    for path in ROOT.joinpath("app").rglob("*.py")
    if path.parent != ROOT / "app" or path.stem != "__init__"
)


def imports(path: Path) -> set[str]:
    """Dotted names that the file imports, relative ones made absolute."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.relative_to(ROOT).parts[: -node.level]) if node.level else ""
            base = ".".join(part for part in (package, node.module) if part)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT / "app").with_suffix("").parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_downwards(path: Path):
    layer = layer_of(path)
    allowed = LAYERS[layer] | (set() if layer in ROUTES else {layer})
    used = {name.split(".")[1] for name in imports(path) if name.startswith("app.")}
    assert used <= allowed, f"app/{layer} may import {sorted(allowed)}, not {sorted(used - allowed)}"


@pytest.mark.parametrize("package", ["filerouter", "devstack"])
def test_the_tools_know_nothing_of_the_application(package: str):
    forbidden = {"app", "filerouter", "devstack"} - {package}
    for path in ROOT.joinpath(package).rglob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & forbidden, path


DANGEROUS = {
    *("subprocess", "pty", "ctypes", "os.system", "os.popen"),
    *("pickle", "marshal", "shelve", "dill", "xml", "lxml", "yaml", "jinja2", "mako"),
    *("hashlib.md5", "hashlib.sha1", "zipfile", "tarfile", "random"),
}
UNSECRET = ("app/seed.py", "app/core/cache/", "app/core/upstream/", "app/core/jobs/")
"""Where `random` makes example data, or delays that shall not fall together. No secret is made there."""


@pytest.mark.parametrize("package", ["app", "filerouter"])
def test_nothing_dangerous_is_used(package: str):
    """No programs, no code from text, no parsers that do more than parse, no weak hashes."""
    for path in ROOT.joinpath(package).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        used = {ast.unparse(part) for part in ast.walk(tree) if isinstance(part, ast.Attribute)}
        used |= imports(path)
        here = path.relative_to(ROOT).as_posix()
        dangerous = DANGEROUS - ({"random"} if here.startswith(UNSECRET) else set())
        assert not {name for name in used if {name, name.partition(".")[0]} & dangerous}, path
        called = {ast.unparse(part.func) for part in ast.walk(tree) if isinstance(part, ast.Call)}
        assert not called & {"eval", "exec", "compile", "__import__"}, path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_modules_stay_small(path: Path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    limit = 60 if path.name == "main.py" else 200
    assert lines <= limit, f"{lines} lines: cut it along a noun (at most {limit})"


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("app/api/**/*.py")), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_handlers_stay_small(path: Path):
    """At most 12 lines from `def` to the last, no `try`: errors are raised by services."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 12, (
                f"{node.name} is long: move logic into a service"
            )
            assert not any(isinstance(part, ast.Try) for part in ast.walk(node)), f"{node.name} has a try"
