"""Valkey in a folder: started on a port of 127.0.0.1 with a password and 64 databases."""

import os
import signal
import socket
from pathlib import Path

from . import binaries, launch, ports
from .files import private, secret

CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
databases 64
dir "{folder}"
pidfile "{folder}/pid"
maxmemory-policy noeviction
save ""
appendonly {durable}
appendfsync everysec
"""


class Valkey:
    """One server in `folder`/valkey. The order of use: `prepare`, start `command`, wait for `answers`."""

    name, mendable = "valkey", False
    stop = signal.SIGTERM
    identity: launch.Identity = "self"

    def __init__(self, folder: Path, *, durable: bool = True, port: int | None = None) -> None:
        self.folder, self.durable, self.fixed_port = folder, durable, port
        self.environment = dict(os.environ)

    def prepare(self) -> None:
        """Write the configuration (a file: the password must not show in the list of processes)."""
        program = binaries.valkey()
        data = self.folder / "valkey"
        data.mkdir(mode=0o700, exist_ok=True)
        pid_file = data / "pid"
        if pid_file.exists():  # else two servers would append to one file
            launch.reap(int(pid_file.read_text() or 0), data, self.stop)
            pid_file.unlink(missing_ok=True)
        self.password = secret(self.folder / "valkey.password")
        self.port = ports.of_folder(self.folder, "valkey", self.fixed_port)
        durable = "yes" if self.durable else "no"
        values = {"host": ports.HOST, "port": self.port, "password": self.password, "folder": data}
        private(data / "valkey.conf", CONFIGURATION.format(**values, durable=durable))
        self.command = [str(program), str(data / "valkey.conf")]

    @property
    def url(self) -> str:
        """The address without a database number."""
        return f"redis://:{self.password}@{ports.HOST}:{self.port}"

    def answers(self) -> bool:
        """Whether it has loaded its data and answers to the password."""
        try:
            with socket.create_connection((ports.HOST, self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                with connection.makefile("rb") as replies:
                    return [replies.readline(), replies.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        except OSError:
            return False

    def telling(self, line: str) -> bool:
        """Warnings (#), but not those of every start and stop."""
        return " # " in line and "WARNING" not in line and "bye" not in line

    @property
    def where(self) -> str:
        """For the line that says it is ready."""
        return f"on {ports.HOST}:{self.port}"
