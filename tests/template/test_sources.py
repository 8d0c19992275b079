"""The ways to name the template: relative paths, a git URL, and cruft. Each command runs as users type it."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.template.repositories import Repository, template_repository

COOKIECUTTER = (sys.executable, "-m", "cookiecutter")
CRUFT = (sys.executable, "-c", "from cruft._cli import app; app()", "create")
Generate = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the template as a git repository in `tpl`."""
    folder = tmp_path_factory.mktemp("sources")
    template_repository(folder / "tpl")
    settings = f"replay_dir: '{folder}/replay'\ncookiecutters_dir: '{folder}/cloned'\n"
    (folder / "config.yaml").write_text(settings, encoding="utf-8")
    return folder


@pytest.fixture
def generate(folder: Path) -> Generate:
    def generate(command: tuple[str, ...], source: str, where: Path) -> Path:
        where.mkdir(exist_ok=True)
        shell = Repository(where)
        shell.environment |= {"COOKIECUTTER_CONFIG": os.fspath(folder / "config.yaml")}
        shell.run(*command, source, "--no-input")
        return where / "acme"

    return generate


def assert_is_complete(project: Path) -> None:
    """The hooks ran, and to the end."""
    assert 'name = "acme"' in (project / "pyproject.toml").read_text(encoding="utf-8")
    assert (project / "packages/SHA256SUMS").stat().st_size > 0
    assert not (project / "openapi.minimal.json").exists()


@pytest.mark.parametrize(("source", "where"), [("tpl", "."), ("../tpl", "beside"), (".", "tpl")])
def test_cookiecutter_with_a_relative_path(folder: Path, generate: Generate, source: str, where: str):
    assert_is_complete(generate(COOKIECUTTER, source, folder / where))


def test_cookiecutter_with_a_git_url(folder: Path, generate: Generate):
    url = f"git+{(folder / 'tpl').as_uri()}"
    assert_is_complete(generate(COOKIECUTTER, url, folder / "from-git"))


@pytest.mark.parametrize("source", ["../tpl", "url"])
def test_cruft(folder: Path, generate: Generate, source: str):
    url = (folder / "tpl").as_uri() if source == "url" else source
    project = generate(CRUFT, url, folder / f"cruft-{source.strip('./')}")
    assert_is_complete(project)
    assert (project / ".cruft.json").is_file()
