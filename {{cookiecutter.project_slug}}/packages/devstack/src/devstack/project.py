"""What a project asks of `dev`: the table [tool.devstack] of pyproject.toml, `.env`, the environment."""

import os
import shlex
import shutil
import string
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from . import ports
from .errors import Problem


@dataclass(frozen=True)
class Row:
    """One row of [tool.devstack.processes]; README.md explains the keys."""

    name: str
    command: str
    ready: str = ""
    page: str = ""
    reload: list[str] = field(default_factory=list)
    hot: list[str] = field(default_factory=list)


class Project:
    """The folder with its settings. `given` holds what a child finds unless a person set it otherwise."""

    def __init__(self, start: Path) -> None:
        for self.folder in [start, *start.parents]:
            if (self.folder / "pyproject.toml").is_file():
                break
        else:
            raise Problem(f"No pyproject.toml in {start} or above it. `dev` runs inside a project.")
        try:
            table = tomllib.loads((self.folder / "pyproject.toml").read_text("utf-8"))["tool"]["devstack"]
            self.rows = [Row(name, **row) for name, row in table["processes"].items()]
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Problem(f"{self.folder / 'pyproject.toml'} cannot be read: {error}.") from None
        except (KeyError, TypeError, AttributeError) as error:
            raise Problem(
                f"{self.folder / 'pyproject.toml'}: [tool.devstack] is missing or wrong ({error})."
                " It needs [tool.devstack.processes.<name>] with a `command`."
            ) from None
        self.migrations = self.folder / table.get("migrations", "migrations/versions")
        self.migrate: str = table.get("migrate", "alembic upgrade head")
        self.seed = self.folder / table.get("seed", "app/seed.py")
        self.state = self.folder / ".dev"
        self.given = {"ENVIRONMENT": "development", "PYTHONUNBUFFERED": "1"}

    def settings(self) -> dict[str, str]:
        """What is set by a person: the environment, and `.env` below it. Read anew at each call."""
        file = self.folder / ".env"
        values: dict[str, str | None] = {}
        if file.is_file():
            from dotenv import dotenv_values
            from dotenv.parser import parse_stream

            try:
                with file.open(encoding="utf-8") as lines:
                    wrong = [str(part.original.line) for part in parse_stream(lines) if part.error]
            except (OSError, UnicodeDecodeError) as error:
                raise Problem(f"{file} cannot be read: {error}.") from None
            if wrong:
                raise Problem(f"{file}, line {', '.join(wrong)}: not of the form NAME=value.")
            values = dotenv_values(file)
        return {name: value for name, value in values.items() if value is not None} | dict(os.environ)

    def port(self, name: str) -> int | None:
        """The port that a setting asks for, None if it is not set. Problem if it is no port."""
        text = self.settings().get(name, "").strip()
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and int(text) < 65536):
            raise Problem(f"{name} is a number from 0 to 65535, not {text!r} (environment or .env).")
        return int(text)

    def environment(self) -> dict[str, str]:
        """What a child gets. Programs of this Python's environment come first, activated or not."""
        values = self.given | self.settings()
        values["PORT"] = self.given.get("PORT", "")  # the real one, where 0 or nothing was set
        values["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), values.get("PATH", os.defpath)])
        return values

    def fill(self, text: str) -> str:
        """Put values of the child's environment in the place of $NAMES."""
        # HOST is not of the environment: some shells put the machine's name there.
        return string.Template(text).safe_substitute(self.environment() | {"HOST": ports.HOST})

    def fill_whole(self, text: str) -> str:
        """The same; nothing if one of the $NAMES has no value, for then nobody is there."""
        values = self.environment() | {"HOST": ports.HOST}
        known = all(values.get(name) for name in string.Template(text).get_identifiers())
        return self.fill(text) if known else ""

    def command(self, text: str) -> list[str]:
        """A command line as arguments, filled in. Problem if there is no such program."""
        program, *rest = [self.fill(part) for part in shlex.split(text)]
        found = shutil.which(program, path=self.environment()["PATH"])
        if not found:
            raise Problem(f"No program `{program}`, which pyproject.toml asks for ({text}). Try `uv sync`.")
        return [found, *rest]
