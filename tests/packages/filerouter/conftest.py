"""Fixtures that write route trees to disk, each in its own package, and mount them."""

import itertools
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from filerouter import FileRouter, RouteTreeError

_numbers = itertools.count()


class Project:
    """A package with route files below `api`."""

    def __init__(self, folder: Path) -> None:
        self.name = f"project{next(_numbers)}"
        self.folder = folder
        self.root = folder / self.name / "api"
        self.root.mkdir(parents=True)
        (self.root.parent / "__init__.py").touch()

    def write(self, files: dict[str, str]) -> "Project":
        """Write files below `api`."""
        for name, body in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(body))
        return self

    def mount(self, app: FastAPI | None = None, *, prefix: str = "/api", **options: Any) -> FastAPI:
        app = app or FastAPI()
        reload = options.pop("reload", False)
        self.api = FileRouter(self.root, prefix=prefix, **options)
        self.api.mount(app, reload=reload)
        return app

    def client(self, app: FastAPI | None = None, **options: Any) -> TestClient:
        return TestClient(self.mount(app, **options), follow_redirects=False)

    def report(self, **options: Any) -> str:
        """Return the report of a tree that cannot be mounted, with the project named `app`."""
        with pytest.raises(RouteTreeError) as caught:
            self.mount(**options)
        self.codes = [problem.code for problem in caught.value.problems]
        return str(caught.value).replace(self.name, "app")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    project = Project(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield project
    for name in [name for name in sys.modules if name.split(".")[0] == project.name]:
        del sys.modules[name]


@pytest.fixture
def projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Project]:
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda: Project(tmp_path)
