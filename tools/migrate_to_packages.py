"""Move a project from the layout before packages (app/core, filerouter/, devstack/) to today's.

    git clone "$TEMPLATE" template
    python template/tools/migrate_to_packages.py PROJECT            # shows what it would do
    python template/tools/migrate_to_packages.py PROJECT --write    # does it

Files of the template that were not edited are replaced or removed. Files that were edited stay: where the new layout
has a file of the same path, git merges both versions; otherwise the file is named, with the place of its successor.
The team's own tables, schemas, services and jobs move into feature folders, and imports are rewritten everywhere.
Needs Python 3.11 and git, and no packages.
"""

import argparse
import ast
import hashlib
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs as a script, from any folder

from tools.merge_pyproject import merge_pyproject  # noqa: E402
from tools.rewrite_imports import Names, load_names, rewrite  # noqa: E402

PROJECT = "{{cookiecutter.project_slug}}"
BEFORE_PACKAGES = "1f5e11b"
"""The last commit with the old layout."""
LAYERS = {"models": "models", "schemas": "schemas", "services": "service", "jobs": "jobs", "upstreams": "upstream"}
"""Folders of the old layout, and the modules of a feature folder that replace them."""
GENERATED = {"openapi.json", "openapi.minimal.json", "uv.lock"}
PERSONAL = {"LICENSE"}
NEXT_STEPS = """
Next, in the project:
  uv lock
  uv run ruff format && uv run ruff check --fix
  uv run python -m app.openapi
  uv run alembic merge heads -m "packages"    # while `uv run dev` runs, and only if you have migrations of your own
  make check && uv run pytest"""


def git(*arguments: str, cwd: Path = ROOT) -> bytes:
    """Return the output of a git command."""
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, stdout=subprocess.PIPE).stdout


def load_hook() -> ModuleType:
    """Return the hook that names a generated project and removes its example."""
    spec = importlib.util.spec_from_file_location("post_gen_project", ROOT / "hooks/post_gen_project.py")
    assert spec and spec.loader
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    return hook


class Template:
    """The old and the new files of the template, as they were generated for this project."""

    def __init__(self, project: Path, commit: str) -> None:
        self.project, self.commit, self.hook = project, commit, load_hook()
        settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        heading = re.search(r"^# (.+)$", (project / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
        self.answers = {
            "project_slug": settings["name"],
            "project_name": heading[1] if heading else settings["name"],
            "description": settings.get("description", ""),
            "author": (settings.get("authors") or [{"name": ""}])[0].get("name", ""),
        }
        cruft = project / ".cruft.json"
        if cruft.is_file():
            context = json.loads(cruft.read_text(encoding="utf-8"))["context"]["cookiecutter"]
            self.answers = {name: context[name] for name in self.answers}
        self.removed = {noun for noun in self.hook.EXAMPLE_NOUNS if not self._has_example(noun)}

    def _has_example(self, noun: str) -> bool:
        paths = [path for path in self.old if self._is_of({noun}, path)]
        return any((self.project / path).exists() for path in paths)

    def _is_of(self, nouns: set[str], path: str) -> bool:
        parts = PurePosixPath(path).parts
        names = [part.split(".")[0].removeprefix("test_") for part in parts[1:]]
        return parts[0] in ("app", "tests") and bool(nouns.intersection(names))

    @cached_property
    def old(self) -> dict[str, bytes]:
        """The files of the old layout."""
        listed = git("ls-tree", "-r", "-z", self.commit, "--", f"{PROJECT}/").decode().split("\0")
        blobs = {line.partition("\t")[2].removeprefix(f"{PROJECT}/"): line.split()[2] for line in listed if line}
        output = subprocess.run(
            ["git", "cat-file", "--batch"],
            cwd=ROOT,
            input="".join(f"{blob}\n" for blob in blobs.values()).encode(),
            check=True,
            capture_output=True,
        ).stdout
        files = {}
        for path in blobs:
            header, _, rest = output.partition(b"\n")
            size = int(header.split()[2])
            files[path], output = self._named(path, rest[:size]), rest[size + 1 :]
        return files

    @cached_property
    def new(self) -> dict[str, bytes]:
        """The files of this checkout, without the parts of the example that the project does not have."""
        listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", f"{PROJECT}/").decode()
        paths = {path.removeprefix(f"{PROJECT}/") for path in listed.split("\0") if (ROOT / path).is_file()}
        files = {path: self._named(path, (ROOT / PROJECT / path).read_bytes()) for path in paths}
        if self.removed == self.hook.EXAMPLE_NOUNS:
            files["openapi.json"] = files["openapi.minimal.json"]
            files = {path: content for path, content in files.items() if not path.endswith("_example.py")}
        del files["openapi.minimal.json"]
        return {path: content for path, content in files.items() if not self._is_of(self.removed, path)}

    def _named(self, path: str, content: bytes) -> bytes:
        for file, before, after in self.hook.NAMES:
            if file == path:
                content = content.replace(before.encode(), after.format(**self.answers).encode(), 1)
        if path in ("README.md", "pyproject.toml"):
            for name, answer in self.answers.items():
                content = content.replace(f"{{{{ cookiecutter.{name} }}}}".encode(), answer.encode())
        return content


@dataclass
class Plan:
    """What will be done. Paths are relative to the project."""

    write: dict[str, bytes] = field(default_factory=dict)
    delete: list[str] = field(default_factory=list)
    move: dict[str, str] = field(default_factory=dict)
    edited: dict[str, str] = field(default_factory=dict)
    """Edited files of the template that stay, and the path of their successor, or an empty string."""
    merged: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Return the plan as text."""
        yield f"{len(self.write)} files to write, {len(self.delete)} unedited files of the template to remove"
        sections = (
            ("Your files that move into a feature folder", [f"{old} -> {new}" for old, new in self.move.items()]),
            ("Edited files of the template, merged with the new version", self.merged),
            ("Edited files with conflicts: look for <<<<<<<", self.conflicts),
            (
                "Edited files that stay; bring your changes into the successor, then delete them",
                [f"{old} -> {new or 'no successor'}" for old, new in self.edited.items()],
            ),
            ("To change by hand", self.by_hand),
        )
        for title, entries in sections:
            if entries:
                yield f"\n{title}:"
                yield from (f"  {entry}" for entry in entries)


def make_plan(project: Path, template: Template) -> Plan:
    """Compare the project with the old template, and decide about each file."""
    plan = Plan()
    old, new = template.old, template.new
    names = find_names(project, template, plan)
    for path, content in sorted(old.items()):
        file = project / path
        if path in GENERATED | PERSONAL | {"pyproject.toml"} or not file.is_file():
            continue
        if file.read_bytes() == content:
            if path not in new:
                plan.delete.append(path)
        elif path in new:
            _merge(plan, names, path, file.read_bytes(), content, new[path])
        else:
            plan.edited[path] = _successor(path, names)
    for path, content in sorted(new.items()):
        file = project / path
        handled = path in {*plan.merged, *plan.conflicts, *PERSONAL, "pyproject.toml"}
        if handled or (file.is_file() and file.read_bytes() == content) or (path in old and not file.is_file()):
            continue
        if file.is_file() and path not in old and path not in GENERATED:
            plan.by_hand.append(f"{path} is yours; the template now has a file of that name, which was not written")
            continue
        plan.write[path] = content
    _pyproject(plan, project, template)
    _own_files(plan, project, template, names)
    _checksums(plan)
    _cruft(plan, project)
    return plan


def find_names(project: Path, template: Template, plan: Plan) -> Names:
    """Find where the team's own modules go, and return all new names."""
    document = json.loads((ROOT / "tools/migrated_names.json").read_text(encoding="utf-8"))
    for layer, module in LAYERS.items():
        for file in sorted(project.glob(f"app/{layer}/*.py")):
            path, noun = f"app/{layer}/{file.name}", file.stem
            target = f"app/{noun}/{module}.py"
            if path in template.old or noun == "__init__":
                continue
            if f"app/{noun}.py" in template.new or target in template.new or (project / target).exists():
                plan.by_hand.append(f"{path} stays: {target} or app/{noun}.py exists")
                document["modules"][f"app.{layer}.{noun}"] = f"app.{layer}.{noun}"
                continue
            plan.move[path] = target
            document["modules"][f"app.{layer}.{noun}"] = f"app.{noun}.{module}"
            if f"app/{noun}/__init__.py" not in template.new:
                plan.write[f"app/{noun}/__init__.py"] = f'"""{noun.replace("_", " ").capitalize()}."""\n'.encode()
    sources = {target: (project / path).read_bytes() for path, target in plan.move.items()}
    sources |= {path: content for path, content in template.new.items() if path.endswith(".py")}
    own = (path for folder in ("app", "tests") for path in project.glob(f"{folder}/**/*.py"))
    for path, file in ((file.relative_to(project).as_posix(), file) for file in own):
        if path not in template.old and path not in plan.move:
            sources.setdefault(path, file.read_bytes())
    return load_names(document, lambda name: _exists(sources, name))


def _exists(sources: dict[str, bytes], name: str) -> bool:
    """Tell whether the new layout has a module or a name of one."""

    def source(module: str) -> bytes | None:
        path = module.replace(".", "/")
        for base in ("", *(f"packages/{package}/src/" for package in ("devstack", "filerouter", "saaskit"))):
            for end in (".py", "/__init__.py"):
                if f"{base}{path}{end}" in sources:
                    return sources[f"{base}{path}{end}"]
        return None

    module, _, last = name.rpartition(".")
    if source(name) is not None:
        return True
    code = source(module)
    return code is not None and last in _defined(code.decode())


def _defined(code: str) -> set[str]:
    found = set()
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
    return found


def _merge(plan: Plan, names: Names, path: str, ours: bytes, base: bytes, theirs: bytes) -> None:
    """Merge an edited file with its new version, as git does."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("yours", "old", "template")]
        for file, content in zip(files, (ours, base, theirs), strict=True):
            file.write_bytes(content)
        command = ["git", "merge-file", "-p", "-L", "yours", "-L", "old", "-L", "template", *map(str, files)]
        done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode > 127:  # a binary file, for example
        plan.by_hand.append(f"{path} is edited, and could not be merged with the template's new version")
        return
    plan.write[path] = done.stdout
    (plan.conflicts if done.returncode else plan.merged).append(path)
    if not done.returncode and path.endswith(".py"):
        plan.write[path] = _rewritten(plan, names, path, done.stdout)


def _rewritten(plan: Plan, names: Names, path: str, content: bytes) -> bytes:
    try:
        code, problems = rewrite(content.decode(), names)
    except (SyntaxError, UnicodeDecodeError) as error:
        problems, code = [f"{getattr(error, 'lineno', 1)}: not valid Python"], ""
        plan.by_hand += [f"{path}:{problem}" for problem in problems]
        return content
    plan.by_hand += [f"{path}:{problem}" for problem in problems]
    return code.encode()


def _successor(path: str, names: Names) -> str:
    module = path.removesuffix(".py").replace("/", ".")
    new = names.modules.get(module, "")
    folder = "packages/saaskit/src/" if new.startswith("saaskit") else ""
    if path.startswith(("filerouter/", "devstack/")):
        return f"packages/{path.partition('/')[0]}"
    return f"{folder}{new.replace('.', '/')}" if new else ""


def _pyproject(plan: Plan, project: Path, template: Template) -> None:
    current, old, new = (project / "pyproject.toml").read_text(encoding="utf-8"), template.old, template.new
    text, by_hand = merge_pyproject(current, old["pyproject.toml"].decode(), new["pyproject.toml"].decode())
    plan.write["pyproject.toml"] = text.encode()
    plan.by_hand += [f"pyproject.toml: {line}" for line in by_hand]


def _own_files(plan: Plan, project: Path, template: Template, names: Names) -> None:
    """Rewrite the imports of the team's own files, and move those that belong into a feature folder."""
    for folder in ("app", "tests", "migrations"):
        for file in sorted(project.glob(f"{folder}/**/*.py")):
            path = file.relative_to(project).as_posix()
            if path in template.old or path in template.new or "__pycache__" in file.parts:
                continue
            new = _rewritten(plan, names, path, file.read_bytes())
            if path in plan.move or new != file.read_bytes():
                plan.write[plan.move.get(path, path)] = new


def _checksums(plan: Plan) -> None:
    packages = {path.removeprefix("packages/"): it for path, it in plan.write.items() if path.startswith("packages/")}
    lines = [f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in sorted(packages.items())]
    plan.write["packages/SHA256SUMS"] = "".join(lines).encode()


def _cruft(plan: Plan, project: Path) -> None:
    """Let the next `cruft update` start at this commit."""
    file = project / ".cruft.json"
    if file.is_file():
        state = json.loads(file.read_text(encoding="utf-8"))
        state["commit"] = git("rev-parse", "HEAD").decode().strip()
        plan.write[".cruft.json"] = (json.dumps(state, indent=2) + "\n").encode()


def carry_out(plan: Plan, project: Path) -> None:
    """Write, move and delete files, and remove folders that are empty then."""
    for path in [*plan.delete, *plan.move]:
        (project / path).unlink()
    for path, content in plan.write.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_bytes(content)
    for top in ("app", "tests", "filerouter", "devstack"):
        for cache in [*(project / top).rglob("__pycache__")]:
            for file in cache.iterdir():
                file.unlink()
            cache.rmdir()
        folders = [path for path in (project / top).rglob("*") if path.is_dir()]
        for folder in [*sorted(folders, reverse=True), project / top]:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def main(argv: list[str] | None = None) -> None:
    """Show the plan, and carry it out with --write."""
    parser = argparse.ArgumentParser(description="Move a project to the layout with packages/.")
    parser.add_argument("project", type=Path)
    parser.add_argument(
        "--write", action="store_true", help="change the files; without it, only show what would change"
    )
    parser.add_argument("--from", dest="commit", help="the template's commit that the project was generated from")
    options = parser.parse_args(argv)
    project: Path = options.project.resolve()
    if not (project / "app/core").is_dir():
        sys.exit(f"{project} has no app/core, so it does not have the old layout.")
    if options.write and (not (project / ".git").exists() or git("status", "--porcelain", cwd=project)):
        sys.exit("Commit your changes first, so that `git diff` shows what this command did.")
    plan = make_plan(project, Template(project, options.commit or _commit(project)))
    print(*plan.lines(), sep="\n")
    if options.write:
        carry_out(plan, project)
        print(NEXT_STEPS)
    else:
        print("\nNothing was changed. Run it again with --write.")


def _commit(project: Path) -> str:
    """Return the commit in .cruft.json, or the last one with the old layout."""
    file = project / ".cruft.json"
    return json.loads(file.read_text(encoding="utf-8"))["commit"] if file.is_file() else BEFORE_PACKAGES


if __name__ == "__main__":
    main()
