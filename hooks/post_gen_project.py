"""Name the project, remove the example if it was not wanted, and print the next steps.

cookiecutter renders this file, then runs it in the new project with its own interpreter. It uses the standard library
only and never the network, because cookiecutter deletes the project if this script fails.
"""

import hashlib
import json
import shutil
from pathlib import Path

ANSWERS = r"""{{ cookiecutter | tojson }}"""

# The template runs unrendered, so these files hold valid values that are replaced here: (file, before, after).
NAMES = (
    ("pyproject.toml", 'name = "saas-starter"', 'name = "{project_slug}"'),
    ("app/settings.py", 'product_name: str = "Acme"', 'product_name: str = "{project_name}"'),
    ("openapi.json", '"title": "Acme"', '"title": "{project_name}"'),
)

# The example is every file and folder in app/ and tests/ that has one of these names.
EXAMPLE_NOUNS = {
    *("catalog", "contact", "exports", "files", "github", "orders", "posts", "products", "seed", "weather"),
}
EXAMPLE_PATHS = ("migrations/versions/*_example.py",)

# Created by running the project in the template's own checkout. A generated project must not inherit them.
LEFTOVERS = (
    *(".venv", ".uv", ".dev", ".env", ".env.production", "uv.lock"),
    *(".hypothesis", ".import_linter_cache", ".pytest_cache", ".ruff_cache"),
)

# pre_gen_project.py lists here the names that were in the folder before cookiecutter wrote into it.
EXISTED_BEFORE = ".existed-before-generation.json"

NEXT_STEPS = """
{slug} is ready. Next:
  cd {slug}
  uv run dev       # starts PostgreSQL, Valkey and the API; `make dev` also installs uv if it is missing
  uv run pytest    # runs the tests; README.md explains how a file becomes an endpoint"""


def remove(path):
    """Remove a file or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def drop_leftovers(project):
    """Remove untracked files that were copied from a template that was run in place, but no files of the team."""
    record = project / EXISTED_BEFORE
    existed = json.loads(record.read_text(encoding="utf-8"))
    remove(record)
    for name in LEFTOVERS:
        if name not in existed:
            remove(project / name)
    for cache in [*project.rglob("__pycache__")]:
        remove(cache)


def name_project(project, answers):
    """Write the names into the files that hold a placeholder."""
    for file, before, after in NAMES:
        path = project / file
        text = path.read_bytes().replace(before.encode(), after.format(**answers).encode(), 1)
        path.write_bytes(text)


def is_example(path):
    """Tell whether a path below app/ or tests/ belongs to the example."""
    return any(part.split(".")[0].removeprefix("test_") in EXAMPLE_NOUNS for part in path.parts)


def drop_example(project):
    """Remove the example, and replace openapi.json by that of the remaining routes."""
    for layer in (project / "app", project / "tests"):
        for path in [*layer.rglob("*")]:
            if is_example(path.relative_to(layer)):
                remove(path)
        for folder in sorted((path for path in layer.rglob("*") if path.is_dir()), reverse=True):
            if not any(folder.iterdir()):
                remove(folder)
    for pattern in EXAMPLE_PATHS:
        for path in [*project.glob(pattern)]:
            remove(path)
    (project / "openapi.minimal.json").replace(project / "openapi.json")


def write_checksums(packages):
    """Record the packages as they are now, so that `saaskit check-packages` finds files that were edited later."""
    paths = sorted(path.relative_to(packages).as_posix() for path in packages.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256((packages / path).read_bytes()).hexdigest()}  {path}\n" for path in paths]
    (packages / "SHA256SUMS").write_bytes("".join(lines).encode())


if __name__ == "__main__":
    answers = json.loads(ANSWERS)
    drop_leftovers(Path())
    if answers["example"]:
        remove(Path("openapi.minimal.json"))
    else:
        drop_example(Path())
    name_project(Path(), answers)
    write_checksums(Path("packages"))
    print(NEXT_STEPS.format(slug=answers["project_slug"]))
