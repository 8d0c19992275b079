"""The tables of docs/reference that the code knows best. `make golden` writes them between their marks."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tools.bake import PROJECT, ROOT

PAGES = ROOT / "docs/reference"
MARK = re.compile(r"(<!-- from the code: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def docstring(path: Path) -> str:
    """What a module says about itself."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """Write it in Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def settings() -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning of every setting of a project."""
    tree = ast.parse((PROJECT / "app/settings.py").read_text(encoding="utf-8"))
    (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            meaning = [choices(node.annotation)]
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                meaning.append(" ".join(str(below.value.value).split()))
            yield f"`{node.target.id.upper()}`", default(node.value), " ".join(filter(None, meaning))


def choices(annotation: ast.expr) -> str:
    """The values of a Literal."""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal":
        return ", ".join(f"`{value}`" for value in ast.literal_eval(annotation.slice)) + "."
    return ""


def default(value: ast.expr | None) -> str:
    """As it would be written in `.env`."""
    text = ast.unparse(value) if value else ""
    text = re.sub(r"^SecretStr\((.*)\)$", r"\1", text).strip("'\"")
    return {"": "none", "{}": "none", "True": "`true`", "False": "`false`"}.get(text, f"`{text}`")


def make(folder: Path) -> Iterator[tuple[str, str]]:
    """The targets of a Makefile."""
    for name, meaning in re.findall(r"^(\w+):.*## (.*)$", (folder / "Makefile").read_text(), re.MULTILINE):
        yield f"`make {name}`", meaning


def programs() -> Iterator[tuple[str, str]]:
    """What `uv run` starts: the scripts of a project, and modules that are programs."""
    scripts = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    for name, target in scripts.items():
        path = PROJECT / (target.partition(":")[0].replace(".", "/") + ".py")
        yield f"`uv run {name}`", docstring(path).partition("\n")[0]
    for path in sorted((PROJECT / "app").rglob("*.py")):
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8"):
            module = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
            yield f"`uv run python -m {module}`", docstring(path).partition("\n")[0]


def tree() -> str:
    """The errors, as app/core/errors.py draws them."""
    (drawn,) = re.findall(r"^Problem\n.*?(?=\n\n)", docstring(PROJECT / "app/core/errors.py"), re.MULTILINE | re.DOTALL)
    return f"```\n{drawn}\n```"


def folders() -> Iterator[tuple[str, str]]:
    """The packages of a project, in their own words."""
    for path in sorted(PROJECT.glob("app/*/__init__.py")):
        yield f"`app/{path.parent.name}/`", docstring(path).partition("\n")[0]


def jobs() -> str:
    """The command `jobs`, as its own help says it."""
    return (
        "```console\n"
        + re.sub(r"^uv", "$ uv", docstring(PROJECT / "app/core/jobs/cli.py").partition("\n\n")[2], flags=re.M)
        + "\n```"
    )


def write(name: str) -> str:
    """One table by the name of its mark."""
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
    """The page with its tables as they should be."""
    return MARK.sub(lambda mark: f"{mark[1]}\n{write(mark[2])}\n\n{mark[3]}", page)
