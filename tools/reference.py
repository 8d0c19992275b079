"""The parts of docs/reference that are generated from the code. `make golden` writes them between their marks."""

import ast
import math
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.bake import PROJECT, ROOT

PAGES = ROOT / "docs/reference"
PLATFORM = PROJECT / "packages/saaskit/src/saaskit"
MARK = re.compile(r"(<!-- from the code: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def docstring(path: Path) -> str:
    """Return the docstring of a module."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def settings() -> list[tuple[str, str, str]]:
    """Return name, default and meaning of every setting of a project, the platform's first."""
    found = {}
    for path in (PLATFORM / "settings.py", PROJECT / "app/settings.py"):
        for name, *row in declared(path):
            found[name] = (name, *row)
    return list(found.values())


def declared(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the fields of the class `Settings` in a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            meaning = [choices(node.annotation)]
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                meaning.append(" ".join(str(below.value.value).split()))
            yield f"`{node.target.id.upper()}`", default(node.value), " ".join(filter(None, meaning))


def choices(annotation: ast.expr) -> str:
    """Return the values of a Literal as text."""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal":
        return ", ".join(f"`{value}`" for value in ast.literal_eval(annotation.slice)) + "."
    return ""


def default(value: ast.expr | None) -> str:
    """Return a default as it would be written in `.env`."""
    text = ast.unparse(value) if value else ""
    if "DEVELOPMENT_KEY" in text:
        return "a public key; refused in production"
    text = re.sub(r"^SecretStr\((.*)\)$", r"\1", text).strip("'\"")
    if re.fullmatch(r"\d+( \* \d+)+", text):
        text = str(math.prod(map(int, text.split(" * "))))
    return {"": "none", "{}": "none", "[]": "none", "True": "`true`", "False": "`false`"}.get(text, f"`{text}`")


def make(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the targets of a Makefile."""
    for name, meaning in re.findall(r"^([\w-]+):.*## (.*)$", (folder / "Makefile").read_text(), re.MULTILINE):
        yield f"`make {name}`", meaning


def programs() -> Iterator[tuple[str, str]]:
    """Yield the scripts of a project and its packages, and the modules of `app` that are programs."""
    for folder, source in (*((path, "src") for path in sorted(PROJECT.glob("packages/*"))), (PROJECT, "")):
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for name, target in project.get("scripts", {}).items():
            path = folder / source / (target.partition(":")[0].replace(".", "/") + ".py")
            yield f"`uv run {name}`", summary(path)
    for path in sorted((PROJECT / "app").rglob("*.py")):
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8"):
            module = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
            yield f"`uv run python -m {module}`", summary(path)


def summary(path: Path) -> str:
    """Return the first line of a module's docstring, without the name of the command."""
    line = docstring(path).partition("\n")[0]
    line = re.sub(r"^(?:The command )?`(?:uv run )?\w+`: ", "", line)
    line = re.sub(r": `(?:uv run )?python -m [\w.]+`", "", line)
    return line[0].upper() + line[1:]


def tree() -> str:
    """Return the tree of errors in the docstring of saaskit.errors."""
    (drawn,) = re.findall(r"^Problem\n.*?(?=\n\n)", docstring(PLATFORM / "errors.py"), re.MULTILINE | re.DOTALL)
    return f"```\n{drawn}\n```"


def jobs() -> str:
    """Return the help of the command `jobs`."""
    usage = re.findall(r"^jobs.*$", docstring(PLATFORM / "jobs/cli.py"), re.MULTILINE)
    return "```console\n" + "\n".join(f"$ uv run {line}" for line in usage) + "\n```"


def write(name: str) -> str:
    """Return one generated part by the name of its mark."""
    tables = {
        "settings": lambda: table(("name", "default", "meaning"), settings()),
        "make": lambda: table(("in a project", "does"), make(PROJECT)),
        "template": lambda: table(("in the template", "does"), make(ROOT)),
        "programs": lambda: table(("command", "does"), programs()),
        "errors": tree,
        "jobs": jobs,
    }
    return tables[name]()


def current(page: str) -> str:
    """Return the page with its generated parts up to date."""
    return MARK.sub(lambda mark: f"{mark[1]}\n{write(mark[2])}\n\n{mark[3]}", page)
