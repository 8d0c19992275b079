"""Name the project, remove what was not chosen, say what comes next.

cookiecutter renders this file, then runs it in the new project with its own interpreter: only the standard library
is here, nothing touches the network, and a failure would make cookiecutter delete the project.
"""

import json
import shutil
from pathlib import Path

ANSWERS = r"""{{ cookiecutter | tojson }}"""

PLACEHOLDER = b'name = "saas-starter"'

# A noun has one name in every layer, so the example is everything in app/ and tests/ that is called by one of these.
EXAMPLE_NOUNS = {
    *("catalog", "contact", "exports", "files", "github", "orders", "posts", "products", "seed", "weather"),
}
EXAMPLE_PATHS = ("migrations/versions/*_example.py",)

# What running the project in the template's own checkout leaves there, and a generated project must not inherit.
LEFTOVERS = (
    *(".venv", ".uv", ".dev", ".env", ".env.production", "uv.lock"),
    *(".hypothesis", ".import_linter_cache", ".pytest_cache", ".ruff_cache"),
)

NEXT_STEPS = """
{slug} is ready. Next:
  cd {slug}
  uv run dev       # starts PostgreSQL, Valkey and the API; `make dev` does the same and brings uv if you lack it
  uv run pytest    # runs the tests; README.md shows how a file becomes an endpoint"""


def remove(path):
    """Remove a file or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def drop_leftovers(project, template):
    """Remove what came along from a template folder that was worked in; leave a team's own files alone."""
    for name in LEFTOVERS:
        if (template / name).exists():
            remove(project / name)
    for cache in [*project.rglob("__pycache__")]:
        remove(cache)


def name_project(project, slug):
    """Write the slug into pyproject.toml, whose placeholder is there because the template runs unrendered."""
    pyproject = project / "pyproject.toml"
    pyproject.write_bytes(pyproject.read_bytes().replace(PLACEHOLDER, f'name = "{slug}"'.encode(), 1))


def is_example(path):
    """Tell whether a path below app/ or tests/ belongs to the example."""
    return any(part.split(".")[0].removeprefix("test_") in EXAMPLE_NOUNS for part in path.parts)


def drop_example(project):
    """Remove the example, noun by noun, and put the contract of what is left in place of the whole one."""
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


if __name__ == "__main__":
    answers = json.loads(ANSWERS)
    if worked_in := answers.get("_repo_dir"):  # cruft, which renders a fresh clone, does not say
        drop_leftovers(Path(), next(Path(worked_in).glob("*cookiecutter.project_slug*")))
    name_project(Path(), answers["project_slug"])
    if answers["example"]:
        remove(Path("openapi.minimal.json"))
    else:
        drop_example(Path())
    print(NEXT_STEPS.format(slug=answers["project_slug"]))
