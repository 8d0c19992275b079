"""PostgreSQL in a folder: made once, started on a port of 127.0.0.1, role and database `app`."""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
from pathlib import Path

from . import binaries, launch, ports, rootless
from .errors import Problem
from .files import last_lines, secret

# As in production images: UTC, and an order of text that is the same on every system.
ENVIRONMENT = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
HBA = "host all all 127.0.0.1/32 scram-sha-256\n"
SERVER = {"listen_addresses": ports.HOST, "unix_socket_directories": "", "max_connections": "200"}
SERVER |= {"shared_buffers": "32MB", "timezone": "UTC", "log_timezone": "UTC", "log_line_prefix": ""}
ROUTINE = "LOG:|FATAL:  (terminating connection|the database system is)|DETAIL:  Consistent recovery state"
FORGETFUL = dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes", "autovacuum"), "off")


class Postgres:
    """One cluster in `folder`/postgres. The order of use: `prepare`, start `command`, wait for `answers`."""

    name, mendable = "postgres", False
    stop = signal.SIGINT  # "fast": open connections are closed; SIGTERM would wait for them

    def __init__(self, folder: Path, *, durable: bool = True, port: int | None = None) -> None:
        self.folder, self.durable, self.fixed_port = folder, durable, port
        self.identity: launch.Identity = "self"

    def prepare(self) -> None:
        """Make the cluster if there is none, and make sure that nobody else runs in it. Takes ~1 s once."""
        self.home, self.programs, self.identity = rootless.place(self.folder, binaries.postgres())
        self.data = self.home / "postgres"
        self.password = secret(self.home / "postgres.password")  # beside the cluster: neither is lost alone
        for leftover in self.home.glob("postgres.init-*"):
            shutil.rmtree(leftover, ignore_errors=True)  # a start that was killed
        if not self.data.exists():
            self._create()
        self._check_version()
        self._free_the_folder()
        self.port = ports.of_folder(self.folder, "postgres", self.fixed_port)
        settings = SERVER | {"port": str(self.port)} | ({} if self.durable else FORGETFUL)
        self.command = [str(self.programs / "postgres"), "-D", str(self.data)]
        self.command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.environment = ENVIRONMENT

    @property
    def url(self) -> str:
        """The address of the database `app`."""
        return f"postgresql://app:{self.password}@{ports.HOST}:{self.port}/app"

    def answers(self) -> bool:
        """Whether it takes connections: it asks for a password (`R`) instead of "is starting up" (`E`)."""
        parameters = b"user\0app\0database\0app\0\0"
        try:
            with socket.create_connection((ports.HOST, self.port), timeout=1) as connection:
                connection.sendall(struct.pack("!ii", len(parameters) + 8, 196608) + parameters)
                return connection.recv(1) == b"R"
        except OSError:
            return False

    def telling(self, line: str) -> bool:
        """Errors of statements and of the server; not what belongs to every start and stop."""
        return not re.match(ROUTINE, line)

    @property
    def where(self) -> str:
        """For the line that says it is ready."""
        return f"on {ports.HOST}:{self.port}"

    def _create(self) -> None:
        """Make the cluster beside its place, then move it: killed at any moment, it is there or not."""
        new = self.home / f"postgres.init-{os.getpid()}"
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        if self._version() >= 17:
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        self._run("initdb", "-D", new, *options)
        (new / "pg_hba.conf").write_text(HBA)
        # An ordinary role, as production has one: what needs a superuser fails here already.
        script = f"ALTER ROLE postgres PASSWORD '{self.password}';\n"
        script += f"CREATE ROLE app LOGIN CREATEDB PASSWORD '{self.password}';\n"
        script += "CREATE DATABASE app OWNER app;\n"
        self._run("postgres", "--single", "-D", new, "postgres", script=script)
        new.replace(self.data)

    def _version(self) -> int:
        return int(re.findall(r"\d+", self._run("postgres", "--version"))[0])  # "postgres (PostgreSQL) 18.6"

    def _check_version(self) -> None:
        ours, theirs = self._version(), int((self.data / "PG_VERSION").read_text())
        if ours != theirs:
            raise Problem(
                f"{self.data} was made by PostgreSQL {theirs}, but this is PostgreSQL {ours}. Dump it with"
                f" version {theirs} and load it here, or delete the folder to start with an empty database."
            )

    def _free_the_folder(self) -> None:
        """End a server of an earlier run; drop a pid file that names a stranger, which would stop ours."""
        pid_file = self.data / "postmaster.pid"
        if pid_file.exists():
            launch.reap(int(pid_file.read_text().split()[0]), self.data, self.stop)
            pid_file.unlink(missing_ok=True)

    def _run(self, program: str, *arguments: str | Path, script: str = "") -> str:
        """Run one of the programs to its end and give its output; Problem with the last lines if it fails."""
        process = launch.start(
            [self.programs / program, *arguments],
            subprocess.PIPE,
            signal.SIGTERM,
            self.identity,
            stdin=subprocess.PIPE,
            env=ENVIRONMENT,
            cwd=self.home,
        )
        output = process.communicate(script.encode())[0].decode(errors="replace")
        if process.returncode:
            raise Problem(f"PostgreSQL's {program} failed in {self.home}:\n{last_lines(output)}")
        return output
