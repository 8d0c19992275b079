"""Take parts of saaskit over: copy them into the product, and change the imports in the project."""

import ast
import re
import shutil
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import NamedTuple

__all__ = ["TakeOverError", "TakenOver", "find_users", "missing_requirements", "take_over"]

LIBRARY = Path(__file__).parent
CODE_FOLDERS = ("app", "tests", "migrations")
OTHER_FILES = ("pyproject.toml", "Dockerfile", "Makefile", "compose.yaml")
"""Files besides Python code that may name a module, for example in a command."""


class TakeOverError(Exception):
    """The parts cannot be taken over. Nothing was changed."""


class TakenOver(NamedTuple):
    """The files that were copied, and the files whose imports were changed."""

    copied: list[Path]
    changed: list[Path]


def take_over(project: Path, parts: Mapping[str, str]) -> TakenOver:
    """Copy each part to `app/<name>`. `parts` maps parts to names.

    Raises TakeOverError if saaskit has no such part, if the target exists, or if another part of saaskit
    imports it: that part would keep using the original.
    """
    targets = {part: _target(project, part, name) for part, name in parts.items()}
    if users := find_users(parts):
        lines = "\n".join(f"  {module} imports saaskit.{part}" for module, part in users)
        raise TakeOverError(
            f"Other parts of saaskit would keep using the original:\n{lines}\n"
            f"Take them over too: saaskit take-over {' '.join(_with_users(parts))}"
        )
    copied: list[Path] = []
    for part, target in targets.items():
        source = _source(part)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            copied += sorted(target.rglob("*.py"))
        else:
            shutil.copyfile(source, target)
            copied.append(target)
    names = {part: f"app.{name}" for part, name in parts.items()}
    changed = []
    for path in _project_files(project):
        text = path.read_text(encoding="utf-8")
        new = rewrite(text, names) if path.suffix == ".py" else _rename(text, names)
        if new != text:
            path.write_text(new, encoding="utf-8", newline="\n")
            changed += [path] if path not in copied else []
    return TakenOver(copied, changed)


def rewrite(code: str, names: Mapping[str, str]) -> str:
    """Return Python code with the new names of modules. `names` maps `cache` to `app.cache`, for example."""
    lines = code.splitlines(keepends=True)
    for node in reversed([*ast.walk(ast.parse(code))]):
        if isinstance(node, ast.ImportFrom) and node.module == "saaskit" and not node.level:
            moved = [alias for alias in node.names if alias.name in names]
            kept = [alias for alias in node.names if alias.name not in names]
            if moved:
                indent = " " * node.col_offset
                statements = [_import("saaskit", kept)] if kept else []
                statements += [_import_module(names[alias.name], alias) for alias in moved]
                new = "".join(f"{indent}{statement}\n" for statement in statements)
                lines[node.lineno - 1 : node.end_lineno] = [new]
    return _rename("".join(lines), names)


def find_users(parts: Iterable[str]) -> list[tuple[str, str]]:
    """Return the modules of saaskit outside of `parts` that import one of them, with its name."""
    parts = set(parts)
    found = set()
    for path in LIBRARY.rglob("*.py"):
        module = path.relative_to(LIBRARY).with_suffix("").parts
        if module[0] not in parts:
            used = _used_parts(path.read_text(encoding="utf-8")) & parts
            found |= {(".".join(["saaskit", *module]).removesuffix(".__init__"), part) for part in used}
    return sorted(found)


def missing_requirements(project: Path, files: Iterable[Path]) -> list[str]:
    """Return the requirements of saaskit that the copied files import and the project does not declare."""
    imported = {name.partition(".")[0] for path in files if path.suffix == ".py" for name in _modules(path)}
    distributions = packages_distributions()
    needed = {_normalized(each) for name in imported for each in distributions.get(name, ())}
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    try:
        known = requires("saaskit") or []
    except PackageNotFoundError:
        known = []
    missing = needed - {_distribution(requirement) for requirement in settings["project"]["dependencies"]}
    return sorted(requirement for requirement in known if _distribution(requirement) in missing)


def _source(part: str) -> Path:
    folder, module = LIBRARY / part, LIBRARY / f"{part}.py"
    return folder if folder.is_dir() else module


def _target(project: Path, part: str, name: str) -> Path:
    if not part.isidentifier() or not _source(part).exists():
        raise TakeOverError(f"saaskit has no part {part!r}. Choose from: {', '.join(_all_parts())}")
    if not name.isidentifier():
        raise TakeOverError(f"{name!r} is no name of a module")
    folder, module = project / "app" / name, project / "app" / f"{name}.py"
    if existing := next((path for path in (folder, module) if path.exists()), None):
        taken = existing.relative_to(project).as_posix()
        raise TakeOverError(f"{taken} exists. Choose another name: saaskit take-over {part}=NAME")
    return folder if _source(part).is_dir() else module


def _all_parts() -> list[str]:
    return sorted(path.stem for path in LIBRARY.iterdir() if not path.name.startswith("_"))


def _with_users(parts: Mapping[str, str]) -> list[str]:
    """Return the arguments that take over the parts and everything that imports them."""
    found = [part if part == name else f"{part}={name}" for part, name in parts.items()]
    known = set(parts)
    while users := {module.split(".")[1] for module, _ in find_users(known)} - known:
        known |= users
        found += sorted(users)
    return found


def _used_parts(code: str) -> set[str]:
    """Return the parts that code imports, by statements or, for `import_module`, in strings."""
    used = set(re.findall(r"""(?:from|import)\s+saaskit\.(\w+)|["']saaskit\.(\w+)[\w.]*["']""", code))
    found = {part for pair in used for part in pair if part}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module == "saaskit":
            found |= {alias.name for alias in node.names}
    return found


def _modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _project_files(project: Path) -> Iterator[Path]:
    for folder in CODE_FOLDERS:
        yield from sorted(project.joinpath(folder).rglob("*.py"))
    yield from (path for name in OTHER_FILES if (path := project / name).is_file())


def _rename(text: str, names: Mapping[str, str]) -> str:
    for part, new in names.items():
        text = re.sub(rf"(?<![\w.])saaskit\.{part}\b", new, text)
    return text


def _import(module: str, aliases: Iterable[ast.alias]) -> str:
    return f"from {module} import {', '.join(map(ast.unparse, aliases))}"


def _import_module(module: str, alias: ast.alias) -> str:
    """Return the import that binds the module to the name under which the code uses it."""
    package, _, name = module.rpartition(".")
    used_as = alias.asname or alias.name
    return f"from {package} import {name}" + (f" as {used_as}" if used_as != name else "")


def _distribution(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    return _normalized(match[0]) if match else ""


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
