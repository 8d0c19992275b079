"""Which files a project gets, and which of them are its own."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.bake import PROJECT, ROOT, bake

PERSONAL = {"LICENSE", "README.md", "pyproject.toml"}


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_copy_is_what_git_would_commit(template: Path):
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    assert set(files(template)) == {name for name in listed if (ROOT / name).is_file()}


def test_exactly_the_personal_files_are_personalised(whole: Path, template: Path):
    """Everything else arrives byte for byte, whatever braces it holds: code is never a template."""
    shipped, generated = files(template / PROJECT.name), files(whole)
    assert set(shipped) - set(generated) == {"openapi.minimal.json"}
    assert not set(generated) - set(shipped), "a hook made these"
    assert {name for name in generated if generated[name] != shipped[name]} == PERSONAL


def test_the_minimal_project_is_the_whole_one_with_files_removed(whole: Path, minimal: Path, template: Path):
    more, less = files(whole), files(minimal)
    assert not set(less) - set(more)
    assert {name for name in less if less[name] != more[name]} <= PERSONAL | {"openapi.json"}
    assert less["openapi.json"] == files(template / PROJECT.name)["openapi.minimal.json"]
    assert [path for path in minimal.rglob("*") if path.is_dir() and not any(path.iterdir())] in (
        [],
        [minimal / "migrations" / "versions"],
    )


@pytest.mark.parametrize("variant", ["whole", "minimal"])
def test_no_template_syntax_ships(variant: str, request: pytest.FixtureRequest):
    for name, content in files(request.getfixturevalue(variant)).items():
        assert not re.search(rb"\{[{%].*cookiecutter", content), name
        if name in PERSONAL:
            assert not [mark for mark in (b"{{", b"{%", b"{#", b"saas-starter") if mark in content], name


@pytest.mark.parametrize("variant", ["whole", "minimal"])
def test_migrations_have_one_head(variant: str, request: pytest.FixtureRequest):
    """In both: no migration builds upon one that its project lacks. CONTRIBUTING.md says how."""
    folder = request.getfixturevalue(variant) / "migrations/versions"
    text = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    revisions = re.findall(r"^revision = \"(\w+)\"", text, re.MULTILINE)
    bases = re.findall(r"\"(\w+)\"", "".join(re.findall(r"^down_revision = .*", text, re.MULTILINE)))
    assert len(revisions) == len(set(revisions))
    assert not set(bases) - set(revisions)
    assert len(set(revisions) - set(bases)) == 1


@pytest.mark.parametrize("variant", ["whole", "minimal"])
def test_golden_tree(variant: str, request: pytest.FixtureRequest, update_golden: bool):
    golden = ROOT / "tests/template/trees" / f"{variant}.txt"
    tree = "".join(f"{name}\n" for name in sorted(files(request.getfixturevalue(variant))))
    if update_golden:
        golden.write_text(tree, encoding="utf-8")
    assert tree == golden.read_text(encoding="utf-8"), "if this is what you want: make golden"


def test_a_checkout_that_was_worked_in_gives_the_same_project(
    tmp_path: Path, template: Path, whole: Path, output: Path
):
    """`uvx cookiecutter .` after `uv run dev` in place: nothing of that run reaches the new project."""
    worked_in = shutil.copytree(template, tmp_path / "saas-starter") / PROJECT.name
    for name in (".venv/lib/a.py", ".dev/postgres/PG_VERSION", "app/__pycache__/a.pyc", ".ruff_cache/x"):
        (worked_in / name).parent.mkdir(parents=True, exist_ok=True)
        (worked_in / name).write_text("{{ undefined.undefined }}")
    for name in (".env", "uv.lock"):
        (worked_in / name).write_text("{{ undefined.undefined }}")
    assert bake(worked_in.parent, output).returncode == 0
    assert files(output / "acme") == files(whole)
