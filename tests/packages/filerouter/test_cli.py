"""The command `routes`, run as a subprocess."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

MAIN = """
import os
from pathlib import Path
from fastapi import FastAPI
from filerouter import FileRouter

assert os.environ["ENVIRONMENT"] == "development"

def guard() -> None: ...

app = FastAPI()
api = FileRouter(Path(__file__).parent / "api", prefix="/api", guard=guard)
api.mount(app)
"""
GET = "async def get() -> int:\n    return 1\n"


@pytest.fixture
def run(project, monkeypatch):
    monkeypatch.delenv("ENVIRONMENT", raising=False)
    (project.root.parent / "main.py").write_text(MAIN)
    settings = f'[tool.filerouter]\napp = "{project.name}.main:app"\n'
    settings += 'environment = { ENVIRONMENT = "development" }\n'
    (project.folder / "pyproject.toml").write_text(settings)
    project.write(
        {
            "users/me.py": GET,
            "users/[id].py": "async def delete(id: str) -> str:\n    return id\n",
            "open.py": "from filerouter import RouteConfig\nconfig = RouteConfig(public=True)\n" + GET,
            "live.py": "async def websocket() -> None: ...\n",
        }
    )

    def run(*arguments: str) -> tuple[int, str, str]:
        command = [str(Path(sys.executable).with_name("routes")), *arguments]
        done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=False)
        return (
            done.returncode,
            done.stdout.replace(project.name, "app"),
            done.stderr.replace(project.name, "app"),
        )

    return run


def test_the_default_output_is_a_table(run) -> None:
    code, out, _ = run()
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["METHODS", "URL", "FILE", "ACCESS", "TAGS"],
        ["WEBSOCKET", "/api/live", "app/api/live.py:1", "guarded"],
        ["GET", "/api/open", "app/api/open.py:3", "public", "open"],
        ["GET", "/api/users/me", "app/api/users/me.py:1", "guarded", "users"],
        ["DELETE", "/api/users/{id}", "app/api/users/[id].py:1", "guarded", "users"],
    ]


def test_an_endpoint_without_code_has_the_location_of_its_file(run, project) -> None:
    project.write(
        {
            "open.py": "import functools\nfrom fastapi import APIRouter\nrouter = APIRouter()\n"
            "def _power(base: int) -> int:\n    return base**2\n"
            "router.add_api_route('/', functools.partial(_power, base=2), name='power')\n"
        }
    )
    code, out, err = run()
    assert (code, err) == (0, "")
    assert "GET        /api/open        app/api/open.py:1        guarded  open\n" in out


def test_json_has_a_record_for_each_handler(run) -> None:
    code, out, _ = run("--json")
    assert code == 0
    assert json.loads(out)[1] == {
        "methods": ["GET"],
        "url": "/api/open",
        "file": "app/api/open.py",
        "line": 3,
        "access": "public",
        "tags": ["open"],
    }


def test_tree_shows_folders_and_files(run) -> None:
    assert run("--tree")[1] == (
        "app/\n"
        "  api/\n"
        "    live.py  WEBSOCKET /api/live\n"
        "    open.py  GET /api/open\n"
        "    users/\n"
        "      [id].py  DELETE /api/users/{id}\n"
        "      me.py  GET /api/users/me\n"
    )


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        (
            "DELETE /api/users/me",
            "DELETE /api/users/me: 405, because the path is matched before the method. "
            "The file allows GET, HEAD, OPTIONS\n"
            "  /api/users/me  app/api/users/me.py  selected\n"
            "  /api/users/{id}  app/api/users/[id].py  not used: me comes before [id]\n",
        ),
        ("/api/open", "GET /api/open: handled by get()\n  /api/open  app/api/open.py  selected\n"),
        ("HEAD /api/open", "HEAD /api/open: handled by filerouter\n  /api/open  app/api/open.py  selected\n"),
        ("GET /api/open/", "GET /api/open/: 308 to /api/open\n  /api/open  app/api/open.py  selected\n"),
        (
            "GET /api/live",
            "GET /api/live: 404, the file only has a websocket\n  /api/live  app/api/live.py  selected\n",
        ),
    ],
)
def test_match_explains_which_file_is_selected(request_line: str, expected: str, run) -> None:
    assert run("--match", request_line) == (0, expected, "")


def test_match_without_a_file_exits_with_1(run) -> None:
    assert run("--match", "GET /api/none") == (1, "", "GET /api/none: 404, no file has this URL.\n")


def test_check_reports_problems_and_exits_with_1(run, project) -> None:
    assert run("--check") == (0, "4 routes, no problems.\n", "")
    project.write({"bad.py": "VALUE = 1\n", "Open.py": GET})
    code, out, err = run("--check")
    assert (code, out) == (1, "")
    assert err == (
        "2 problems in the route tree:\n"
        "  app/api/open.py (/api/open): open differs from Open in app/api/Open.py only by case. "
        "Rename it to Open.py.\n"
        "  app/api/bad.py (/api/bad): has no handler. "
        "Define get(), post(), put(), patch(), delete() or websocket().\n"
    )


@pytest.mark.parametrize(
    ("pyproject", "expected"),
    [
        (None, "routes: no pyproject.toml here. Run the command in the project's folder.\n"),
        ("x", "routes: pyproject.toml: "),
        (
            "[tool]\n",
            'routes: pyproject.toml does not name the application: [tool.filerouter] app = "app.main:app".\n',
        ),
        (
            '[tool.filerouter]\napp = "nowhere:app"\n',
            "routes: cannot import nowhere:app: ModuleNotFoundError: No module named 'nowhere'\n",
        ),
        (
            '[tool.filerouter]\napp = "json:dumps"\n',
            "routes: json:dumps is not a FastAPI application with a mounted FileRouter.\n",
        ),
    ],
)
def test_a_configuration_error_is_one_line(pyproject: str | None, expected: str, run, project) -> None:
    (project.folder / "pyproject.toml").unlink()
    if pyproject is not None:
        (project.folder / "pyproject.toml").write_text(pyproject)
    code, out, err = run()
    assert (code, out) == (1, "")
    assert err.startswith(expected)
    assert err.count("\n") == 1
