"""A change of a file restarts what it concerns; a broken one is shown and waited for."""

import signal
from pathlib import Path

import pytest

from devstack.changes import concerning
from devstack.project import Row
from devstack.tracebacks import Trimmer

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


def test_change_break_and_mend(project: Path, start):
    words = project / "app/words.py"
    dev = start().ready()
    main = dev.child("api").pid

    (project / "app/api/posts.py").write_text("")  # the application's own affair
    words.write_text('GREETING = "good morning"')
    dev.says("api       starts afresh: app/words.py changed")
    eventually(lambda: dev.get("/") == (200, "good morning"))
    assert dev.child("api").pid != main

    words.write_text("GREETING = (\n")
    output = dev.says("before it answered; waits for a change")
    assert "api      | SyntaxError: '(' was never closed" in output
    assert f'File "{words}", line 1' in output
    assert "site-packages" not in output
    assert dev.process.poll() is None

    (project / "app/api/posts.py").write_text("# nobody else would see this one now")
    dev.says("before it answered; waits for a change", times=2)
    words.write_text('GREETING = "good evening"')
    eventually(lambda: dev.get("/") == (200, "good evening"))

    (project / ".env").write_text("MORE=1\n")
    dev.says("starts afresh: .env changed")
    dev.says("api       ready at ", times=4)
    assert dev.ends(signal.SIGINT) == 0


def test_broken_at_the_first_start(project: Path, start):
    words = project / "app/words.py"
    words.write_text("import nowhere\n")
    dev = start()
    dev.says("No module named 'nowhere'")
    dev.says("waits for a change")
    words.write_text('GREETING = "mended"')
    assert dev.ready().get("/") == (200, "mended")


def test_more_processes(project: Path, start):
    (project / "app/ticker.py").write_text(TICKER.format(1))
    with (project / "pyproject.toml").open("a") as file:
        file.write(MORE)
    dev = start().ready()
    output = dev.says("clock    | postgresql")
    assert output.index("api       ready") < output.index("clock     ready")
    dev.says("clock     ended with code 1; starts again in 0.4 s")  # input() without a person
    dev.says("ticker   | tick 1")
    (project / "app/ticker.py").write_text(TICKER.format(2))
    dev.says("ticker   | tick 2")
    assert dev.ends(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    ("path", "down", "restart"),
    [
        ("app/models/user.py", False, True),
        ("app/main.pyc", False, False),
        ("app/notes.txt", False, False),
        ("app/api/posts.py", False, False),
        ("app/api/posts.py", True, True),
        (".env", False, True),
        ("tests/test_x.py", True, False),
    ],
)
def test_what_concerns_a_row(path, down, restart):
    row = Row("api", "", reload=["app", ".env"], hot=["app/api"])
    assert concerning(row, {Path("/p", path)}, Path("/p"), down=down) == [path] * restart


def test_traceback_keeps_our_frames(tmp_path: Path):
    ours = f'  File "{tmp_path}/app/main.py", line 2, in <module>'
    library = f'  File "{tmp_path}/.venv/lib/site-packages/x.py", line 1, in f'
    head, tail = "Traceback (most recent call last):", "ValueError: bad"

    def trimmed(*lines: str) -> list[str]:
        trimmer = Trimmer(tmp_path)
        return [shown for line in lines for shown in trimmer.feed(line)] + trimmer.flush()

    assert trimmed("before", head, library, "    f()", ours, "    g()", tail) == [
        "before",
        head,
        ours,
        "    g()",
        tail,
    ]
    assert trimmed(head, library, "    f()", tail) == [head, library, "    f()", tail]
    assert trimmed(head, tail, "", head, ours, tail) == [head, tail, "", head, ours, tail]
