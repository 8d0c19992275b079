"""A file change restarts the processes that use the file; after an error they wait for the next change."""

import os
import signal
from pathlib import Path

import pytest
from devstack.output import TracebackFilter
from devstack.project import ProcessConfig
from devstack.supervisor import relevant_changes

from .conftest import eventually

pytestmark = pytest.mark.slow

MORE = """
[tool.devstack.processes.clock]
command = "python -u -c 'import os; print(os.environ[\\"DATABASE_URL\\"][:10], flush=True); input()'"

[tool.devstack.processes.ticker]
command = "python -m app.ticker"
reload = ["app/ticker.py"]
"""
TICKER = "import time; print('tick {}', flush=True); time.sleep(600)"


def test_a_change_restarts_the_api_and_a_broken_file_is_shown(project: Path, start):
    words = project / "app/words.py"
    dev = start().ready()
    main = dev.child("api").pid

    (project / "app/api/posts.py").write_text("")  # hot: the application loads it by itself
    words.write_text('GREETING = "good morning"')
    dev.wait_for("api       restarting: app/words.py changed")
    eventually(lambda: dev.get("/") == (200, "good morning"))
    assert dev.child("api").pid != main

    words.write_text("GREETING = (\n")
    output = dev.wait_for("before becoming ready; waiting for a file change")
    assert "api      | SyntaxError: '(' was never closed" in output
    assert f'File "{words}", line 1' in output
    assert "site-packages" not in output
    assert dev.process.poll() is None

    (project / "app/api/posts.py").write_text("# hot, but the application is not running")
    dev.wait_for("before becoming ready; waiting for a file change", times=2)
    words.write_text('GREETING = "good evening"')
    eventually(lambda: dev.get("/") == (200, "good evening"))

    (project / ".env").write_text("MORE=1\n")
    dev.wait_for("restarting: .env changed")
    dev.wait_for("api       ready at ", times=4)
    assert dev.exit(signal.SIGINT) == 0


def test_a_change_that_keeps_size_and_time_of_a_file_is_not_hidden_by_its_bytecode(project: Path, start):
    words = project / "app/words.py"
    saved_at = words.stat().st_mtime_ns
    dev = start(PYTHONDONTWRITEBYTECODE="").ready()
    assert dev.get("/") == (200, "hello")
    assert list(project.glob("app/__pycache__/words.*.pyc"))
    words.write_text('GREETING = "howdy"')
    os.utime(words, ns=(saved_at, saved_at))
    eventually(lambda: dev.get("/") == (200, "howdy"))


def test_a_change_restarts_the_api_if_its_bytecode_cannot_be_removed(project: Path, start):
    (project / "app/__pycache__").write_text("not a folder")
    dev = start().ready()
    (project / "app/words.py").write_text('GREETING = "howdy"')
    eventually(lambda: dev.get("/") == (200, "howdy"))


def test_a_file_in_a_new_folder_restarts_the_api(project: Path, start):
    dev = start().ready()
    folder = project / "app/books/prices"
    folder.mkdir(parents=True)
    (folder / "service.py").write_text("")
    dev.wait_for("api       restarting: app/books/prices/service.py changed")
    assert dev.exit(signal.SIGINT) == 0


def test_a_file_that_is_broken_at_the_first_start_can_be_fixed(project: Path, start):
    words = project / "app/words.py"
    words.write_text("import nowhere\n")
    dev = start()
    dev.wait_for("No module named 'nowhere'")
    dev.wait_for("waiting for a file change")
    words.write_text('GREETING = "fixed"')
    assert dev.ready().get("/") == (200, "fixed")


def test_other_processes_start_after_the_api_and_restart_when_they_exit(project: Path, start):
    (project / "app/ticker.py").write_text(TICKER.format(1))
    with (project / "pyproject.toml").open("a") as file:
        file.write(MORE)
    dev = start().ready()
    output = dev.wait_for("clock    | postgresql")
    assert output.index("api       ready") < output.index("clock     ready")
    dev.wait_for("clock     exited with code 1; restarting in 0.4 s")  # input() without a terminal
    dev.wait_for("ticker   | tick 1")
    (project / "app/ticker.py").write_text(TICKER.format(2))
    dev.wait_for("ticker   | tick 2")
    assert dev.exit(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    ("path", "ready", "restart"),
    [
        ("app/models/user.py", True, True),
        ("app/main.pyc", True, False),
        ("app/notes.txt", True, False),
        ("app/api/posts.py", True, False),
        ("app/api/posts.py", False, True),
        (".env", True, True),
        ("tests/test_x.py", False, False),
    ],
)
def test_changes_that_restart_a_process(path, ready, restart):
    config = ProcessConfig("api", "", reload=["app", ".env"], hot=["app/api"])
    assert relevant_changes(config, {Path("/p", path)}, Path("/p"), ready=ready) == [path] * restart


def test_tracebacks_keep_the_frames_of_the_project(tmp_path: Path):
    ours = f'  File "{tmp_path}/app/main.py", line 2, in <module>'
    library = f'  File "{tmp_path}/.venv/lib/site-packages/x.py", line 1, in f'
    head, tail = "Traceback (most recent call last):", "ValueError: bad"

    def shown(*lines: str) -> list[str]:
        tracebacks = TracebackFilter(tmp_path)
        return [text for line in lines for text in tracebacks.feed(line)] + tracebacks.flush()

    assert shown("before", head, library, "    f()", ours, "    g()", tail) == [
        "before",
        head,
        ours,
        "    g()",
        tail,
    ]
    assert shown(head, library, "    f()", tail) == [head, library, "    f()", tail]
    assert shown(head, tail, "", head, ours, tail) == [head, tail, "", head, ours, tail]
