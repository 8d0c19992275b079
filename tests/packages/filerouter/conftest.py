"""Route trees on disk, each in a package of its own, and requests to them."""

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
        """Write files below `api`; a body of one expression becomes the answer of `get`."""
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
        """The report of a tree that cannot be mounted, without the project's name."""
        with pytest.raises(RouteTreeError) as caught:
            self.mount(**options)
        return str(caught.value).replace(self.name, "app")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    made = Project(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield made
    for name in [name for name in sys.modules if name.split(".")[0] == made.name]:
        del sys.modules[name]


@pytest.fixture
def projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Project]:
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda: Project(tmp_path)
