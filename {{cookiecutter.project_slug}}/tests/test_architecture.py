"""Which module may import which, and rules that keep modules readable. Needs no servers.

The files are parsed: an import graph cannot see into folders such as `[id]`.
"""

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent
APP = sorted(ROOT.glob("app/**/*.py"))
PACKAGES = sorted(ROOT.glob("packages/*/src/**/*.py"))
ENTRY_POINTS = {"main", "openapi", "seed", "jobs", "relay", "worker", "rotate_keys"}


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def imports(path: Path) -> set[tuple[str, str]]:
    """Module and name of each `from module import name`; the name is empty for `import module`."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {(node.module or "", alias.name) for alias in node.names}
    return found


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def calls(path: Path) -> set[str]:
    return {ast.unparse(node.func) for node in nodes(path) if isinstance(node, ast.Call)}


def app_modules(path: Path) -> set[str]:
    """The parts of `app` that a file imports: `accounts`, `deps`, …"""
    names = {f"{module}.{name}" for module, name in imports(path) if module.split(".")[0] == "app"}
    return {name.split(".")[1] for name in names}


def test_imports_go_downwards():
    """Routes use dependencies and features; features use features; nothing imports routes."""
    wrong = []
    for path in APP:
        layer = path.relative_to(ROOT / "app").with_suffix("").parts[0]
        forbidden = {"api"} if layer in ENTRY_POINTS else {"api", "main"}
        if layer not in ENTRY_POINTS | {"api", "deps"}:
            forbidden |= {"deps"}
        wrong += [f"{name(path)} imports app.{module}" for module in app_modules(path) & forbidden]
    assert wrong == []


def test_packages_do_not_import_the_product():
    assert [name(path) for path in PACKAGES if app_modules(path) or "get_settings" in calls(path)] == []


def test_packages_do_not_know_urls_and_cookies_of_the_product():
    wrong = []
    for path in PACKAGES:
        docstrings = {
            ast.get_docstring(node, clean=False)
            for node in nodes(path)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        }
        texts = {node.value for node in nodes(path) if isinstance(node, ast.Constant)} - docstrings
        wrong += [
            f"{name(path)}: {text}"
            for text in texts
            if isinstance(text, str) and any(part in text for part in ("/api/", "__Host-", "saas-starter"))
        ]
    assert wrong == []


@cache
def public_names(module: str) -> set[str]:
    """The names in a module's `__all__`; none if it has no such list, and is internal."""
    spec = find_spec(module)
    assert spec and spec.origin, module
    for node in nodes(Path(spec.origin)):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def test_the_product_imports_public_names_only():
    wrong = []
    for path in APP:
        for module, imported in imports(path):
            if module == "saaskit":  # `from saaskit import cache`
                public = bool(public_names(f"{module}.{imported}"))
            elif module.split(".")[0] in ("devstack", "filerouter", "saaskit"):
                public = imported in public_names(module)
            else:
                continue
            if not public:
                wrong.append(f"{name(path)} imports {module}.{imported}, which is internal")
    assert wrong == []


DANGEROUS = {
    *("subprocess", "pty", "ctypes", "os.system", "os.popen"),
    *("pickle", "marshal", "shelve", "dill", "xml", "lxml", "yaml", "mako"),
    *("hashlib.md5", "hashlib.sha1", "zipfile", "tarfile"),
    *("eval", "exec", "compile", "__import__"),
}


def test_nothing_dangerous_is_used():
    """No programs, no code from text, no unsafe parsers, no weak hashes. Ruff refuses `random` (S311)."""
    wrong = []
    for path in APP:
        used = {ast.unparse(node) for node in nodes(path) if isinstance(node, ast.Attribute)} | calls(path)
        used |= {f"{module}.{name}".rstrip(".") for module, name in imports(path)}
        found = {each for each in used if {each, each.partition(".")[0]} & DANGEROUS}
        wrong += [f"{name(path)} uses {each}" for each in found]
    assert wrong == []


def test_services_do_not_commit():
    """A request's transaction is committed by `Db`. E-mail jobs commit before they send."""
    commits = {
        name(path)
        for path in APP
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr == "commit"
    }
    assert commits - {"app/accounts/emails.py"} == set()


def test_modules_have_at_most_400_lines():
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in APP + PACKAGES}
    assert {path: count for path, count in lines.items() if count > 400} == {}


def test_handlers_are_small():
    """At most 12 lines, and no `try`: services raise the errors."""
    wrong = []
    for path in APP:
        if not name(path).startswith("app/api/"):
            continue
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.body[0].lineno + 1
                if lines > 12 or any(isinstance(part, ast.Try) for part in ast.walk(node)):
                    wrong.append(f"{name(path)}: move the logic of {node.name} into a service")
    assert wrong == []
