"""The tutorial, followed from an empty folder to its end."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.template.replay import Replay
from tools.bake import ROOT

CHAPTERS = sorted((ROOT / "docs/tutorial").glob("[0-9]*.md"))
pytestmark = pytest.mark.posix


SECONDS = 1800
"""Limit for the whole replay, downloads included."""


@pytest.fixture(scope="module")
def reader(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    """A machine with uv, curl and an empty folder. Nothing is written to the home folder of the test run."""
    folder, logs = tmp_path_factory.mktemp("empty"), tmp_path_factory.mktemp("logs")
    config = logs / "cookiecutter.yaml"
    config.write_text(f"replay_dir: '{logs / 'replay'}'\ncookiecutters_dir: '{logs / 'cloned'}'\n")
    hidden = ("VIRTUAL_ENV", "PYTEST_ADDOPTS", "ENVIRONMENT", "DATABASE_URL", "REDIS_URL", "CI")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"TEMPLATE": str(template), "COOKIECUTTER_CONFIG": str(config), "NO_COLOR": "1", "TERM": "dumb"}
    replay = Replay(folder, environment | {"COLUMNS": "160", "NO_PROXY": "127.0.0.1,localhost"}, logs)
    started = time.monotonic()
    yield replay
    replay.stop()
    assert time.monotonic() - started < SECONDS


@pytest.fixture(scope="module")
def failed() -> list[str]:
    """The chapter that failed, if any. Later chapters build on it."""
    return []


def test_there_are_at_most_ten_chapters():
    assert [path.name[:2] for path in CHAPTERS] == [f"{number:02}" for number in range(1, len(CHAPTERS) + 1)]
    assert len(CHAPTERS) <= 10


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter(chapter: Path, reader: Replay, failed: list[str]):
    if failed:
        pytest.skip(f"builds on {failed[0]}, which failed")
    failed.append(chapter.stem)
    reader.chapter(chapter.read_text(encoding="utf-8"))
    failed.pop()
