"""The project that `dev` runs: [tool.devstack] in pyproject.toml, the settings, and its processes."""

import os
import shlex
import shutil
import socket
import string
import sys
import time
import tomllib
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from . import environment, state
from .errors import DevstackError
from .process import Service

READY_TEXT_TIMEOUT = 60.0
"""Seconds to wait for the `ready` text of a running process: its log level may hide the text."""


@dataclass(frozen=True)
class ProcessConfig:
    """A table [tool.devstack.processes.<name>]. README.md explains the keys."""

    name: str
    command: str
    ready: str = ""
    page: str = ""
    reload: list[str] = field(default_factory=list)
    hot: list[str] = field(default_factory=list)


class Project:
    """The configuration of a project. Its processes get `defaults`, unless the settings override them."""

    def __init__(self, start: Path) -> None:
        self.folder = _find_folder(start)
        file = self.folder / "pyproject.toml"
        try:
            table = tomllib.loads(file.read_text("utf-8"))["tool"]["devstack"]
            self.processes = [ProcessConfig(name, **keys) for name, keys in table["processes"].items()]
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DevstackError(f"{file} cannot be read: {error}.") from None
        except (KeyError, TypeError, AttributeError) as error:
            raise DevstackError(
                f"{file}: [tool.devstack] is missing or invalid ({error})."
                " It needs [tool.devstack.processes.<name>] with a `command`."
            ) from None
        self.migrations = self.folder / table.get("migrations", "migrations/versions")
        self.migrate: str = table.get("migrate", "alembic upgrade head")
        self.seed = self.folder / table.get("seed", "app/seed.py")
        self.state = self.folder / ".dev"
        self.host = state.HOST  # of the application; all other processes are for this machine only
        self.defaults = {"ENVIRONMENT": "development", "PYTHONUNBUFFERED": "1"}

    def settings(self) -> dict[str, str]:
        """Read the variables of `.env`; the environment overrides them."""
        file = self.folder / ".env"
        values: dict[str, str | None] = {}
        if file.is_file():
            from dotenv import dotenv_values
            from dotenv.parser import parse_stream

            try:
                with file.open(encoding="utf-8") as lines:
                    invalid = [str(part.original.line) for part in parse_stream(lines) if part.error]
            except (OSError, UnicodeDecodeError) as error:
                raise DevstackError(f"{file} cannot be read: {error}.") from None
            if invalid:
                raise DevstackError(f"{file}, line {', '.join(invalid)}: not of the form NAME=value.")
            values = dotenv_values(file)
        return {name: value for name, value in values.items() if value is not None} | dict(os.environ)

    def port(self, name: str) -> int | None:
        """Return the port in a setting, or None if it is not set. Raises DevstackError if it is invalid."""
        text = self.settings().get(name, "").strip()
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and int(text) < 65536):
            raise DevstackError(
                f"{name} must be a number from 0 to 65535, not {text!r} (environment or .env)."
            )
        return int(text)

    def host_setting(self) -> str:
        """Return the address in HOST, by default 127.0.0.1. Raises DevstackError if it is invalid."""
        text = self.settings().get("HOST", "").strip()
        names = ("", "localhost", socket.gethostname())  # some shells set HOST to the name of the machine
        if text in names:
            return state.HOST
        if not state.is_own_address(text):
            raise DevstackError(
                f"HOST must be {state.ANY_HOST} or another IPv4 address of this machine, not {text!r}"
                " (environment or .env)."
            )
        return text

    def environment(self) -> dict[str, str]:
        """Return the environment for processes. Its PATH begins with the folder of the running Python."""
        values = self.defaults | self.settings()
        values["PORT"] = self.defaults.get("PORT", "")  # the port in use; the setting may be 0 or empty
        values["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), values.get("PATH", os.defpath)])
        return values

    def fill(self, text: str, *, host: str = state.HOST, complete: bool = False) -> str:
        """Replace $NAMES by values of the environment. `complete`: return "" if one of them has no value."""
        values = self.environment() | {"HOST": host}
        template = string.Template(text)
        if complete and not all(values.get(name) for name in template.get_identifiers()):
            return ""
        return template.safe_substitute(values)

    def host_of(self, config: ProcessConfig) -> str:
        """Return the value of $HOST for a process: the first one is the application."""
        return self.host if config is self.processes[0] else state.HOST

    def page(self, config: ProcessConfig) -> str:
        """Return the filled `page` of a process, or "" if it has none."""
        host = self.host_of(config)
        page = self.fill(config.page, host=host, complete=True)
        return page if host in (state.HOST, state.ANY_HOST) else page.replace("//localhost:", f"//{host}:")

    def command(self, text: str, host: str = state.HOST) -> list[str]:
        """Split and fill a command line. Raises DevstackError if its program does not exist."""
        program, *arguments = [self.fill(part, host=host) for part in shlex.split(text)]
        found = shutil.which(program, path=self.environment()["PATH"])
        if not found:
            raise DevstackError(
                f"Program `{program}` not found; pyproject.toml has the command `{text}`. Try `uv sync`."
            )
        return [*environment.program(found), *arguments]


class ProjectProcess(Service):
    """Runs a ProcessConfig with the settings that apply at each start."""

    def __init__(self, project: Project, config: ProcessConfig) -> None:
        self.project, self.config, self.name = project, config, config.name
        self.restart_on_change = bool(config.reload)

    def prepare(self) -> None:
        """Read the settings and reset the readiness. Raises DevstackError if the program does not exist."""
        host = self.project.host_of(self.config)
        self.command = self.project.command(self.config.command, host)
        self.environment = self.project.environment()
        self.ready = self.project.fill(self.config.ready, host=host, complete=True)
        self.printed_ready = False
        self.started_at = time.monotonic()

    def is_ready(self) -> bool:
        """Whether the `ready` URL returns 200 or the `ready` text was printed. True if there is neither."""
        if self.ready.startswith("http://"):
            return _returns_200(self.ready)
        waited = time.monotonic() - self.started_at
        return self.printed_ready or not self.ready or waited > READY_TEXT_TIMEOUT

    @property
    def ready_message(self) -> str:
        """The line that `dev` prints when the process is ready."""
        if self.ready.startswith("http://"):
            return f"ready at {self.ready}"
        if self.ready and not self.printed_ready:
            return f"started, but never printed {self.ready!r}"
        return "ready"

    def observe(self, line: str) -> bool:
        """Look for the `ready` text. All output is shown."""
        self.printed_ready = self.printed_ready or self.ready in line
        return True


def _find_folder(start: Path) -> Path:
    for folder in [start, *start.parents]:
        if (folder / "pyproject.toml").is_file():
            return folder
    raise DevstackError(f"No pyproject.toml in {start} or its parent folders. Run `dev` inside a project.")


def _returns_200(url: str) -> bool:
    parts = urlsplit(url)
    try:
        host = state.HOST if parts.hostname == state.ANY_HOST else parts.hostname or ""
        with closing(HTTPConnection(host, parts.port, timeout=5)) as connection:
            connection.request("GET", parts.path or "/")
            return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
