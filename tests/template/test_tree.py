"""The files of a generated project, and the ones that contain answers."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.template.conftest import Bake
from tools.bake import PROJECT, ROOT, bake

RENDERED = {"LICENSE", "README.md", "pyproject.toml"}
"""Files that cookiecutter renders."""
PERSONAL = RENDERED | {"app/settings.py", "openapi.json"}
"""Files that contain an answer."""


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_copy_is_the_checkout_as_git_would_commit_it(template: Path):
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    assert set(files(template)) == {name for name in listed if (ROOT / name).is_file()}


@pytest.mark.parametrize(("name", "personal"), [("Acme", RENDERED), ("Night Owl", PERSONAL)])
def test_only_the_personal_files_differ_from_the_template(
    generate: Bake, output: Path, template: Path, name: str, personal: set[str]
):
    """All other files are copied byte for byte: code is never a template, even if it contains braces."""
    assert generate(project_name=name, project_slug="acme").returncode == 0
    shipped, generated = files(template / PROJECT.name), files(output / "acme")
    assert set(shipped) - set(generated) == {"openapi.minimal.json"}
    assert set(generated) - set(shipped) == {"packages/SHA256SUMS"}
    assert {name for name in shipped if name in generated and generated[name] != shipped[name]} == personal


def test_the_minimal_project_is_the_whole_one_with_files_removed(whole: Path, minimal: Path, template: Path):
    more, less = files(whole), files(minimal)
    assert not set(less) - set(more)
    assert {name for name in less if less[name] != more[name]} <= RENDERED | {"openapi.json"}
    assert less["openapi.json"] == files(template / PROJECT.name)["openapi.minimal.json"]
    assert [path for path in minimal.rglob("*") if path.is_dir() and not any(path.iterdir())] in (
        [],
        [minimal / "migrations" / "versions"],
    )


@pytest.mark.parametrize("variant", ["whole", "minimal"])
def test_no_template_syntax_ships(variant: str, request: pytest.FixtureRequest):
    for name, content in files(request.getfixturevalue(variant)).items():
        assert not re.search(rb"\{[{%].*cookiecutter", content), name
        if name in RENDERED:
            assert not [mark for mark in (b"{{", b"{%", b"{#", b"saas-starter") if mark in content], name


@pytest.mark.parametrize("variant", ["whole", "minimal"])
def test_migrations_have_one_head(variant: str, request: pytest.FixtureRequest):
    """No migration depends on one that its variant does not have. See "Add a migration" in CONTRIBUTING.md."""
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
    assert tree == golden.read_text(encoding="utf-8"), "if this is intended, run `make golden`"


def test_a_checkout_that_was_worked_in_gives_the_same_project(
    tmp_path: Path, template: Path, whole: Path, output: Path
):
    """After `uv run dev` in the checkout, `uvx cookiecutter .` copies no file of that run."""
    worked_in = shutil.copytree(template, tmp_path / "saas-starter") / PROJECT.name
    for name in (".venv/lib/a.py", ".dev/postgres/PG_VERSION", "app/__pycache__/a.pyc", ".ruff_cache/x"):
        (worked_in / name).parent.mkdir(parents=True, exist_ok=True)
        (worked_in / name).write_text("{{ undefined.undefined }}")
    for name in (".env", "uv.lock"):
        (worked_in / name).write_text("{{ undefined.undefined }}")
    assert bake(worked_in.parent, output).returncode == 0
    assert files(output / "acme") == files(whole)


@pytest.mark.parametrize(("template_path", "output_path"), [("../saas-starter", "."), ("../saas-starter", "new/deep")])
def test_both_paths_may_be_relative(template: Path, tmp_path: Path, whole: Path, template_path: str, output_path: str):
    """PWD names another folder, as when a program starts cookiecutter: no file may depend on it."""
    checkout = shutil.copytree(template, tmp_path / "saas-starter")
    (checkout / PROJECT.name / ".env").write_text("SECRET=ours")
    here = tmp_path / "here"
    (here / "new").mkdir(parents=True)
    command = [sys.executable, "-m", "cookiecutter", template_path, "--no-input", "-o", output_path]
    environment = os.environ | {"PWD": "/", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert files(here / output_path / "acme") == files(whole)


def test_generating_over_a_project_keeps_what_the_template_does_not_have(generate: Bake, output: Path, whole: Path):
    (output / "acme/.venv").mkdir(parents=True)
    (output / "acme/.venv/pyvenv.cfg").write_text("home = /usr/bin\n")
    (output / "acme/.env").write_text("SECRET=ours")
    done = generate("--overwrite-if-exists")
    assert done.returncode == 0, done.stderr
    expected = files(whole) | {".env": b"SECRET=ours", ".venv/pyvenv.cfg": b"home = /usr/bin\n"}
    assert files(output / "acme") == expected
