"""The embedded servers: what they have in common, and running one during a block of code."""

import os
import subprocess
import sys
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from . import launch, state
from .errors import DevstackError
from .output import last_lines
from .process import Service

START_TIMEOUT = 60.0  # seconds; crash recovery can take a while
STOP_TIMEOUT = 10.0


class Server(Service):
    """A server with its data below `folder`. Not durable means faster: a crash may destroy the data."""

    required = True
    port: int

    def __init__(self, folder: Path, *, durable: bool = True, port: int | None = None) -> None:
        self.folder, self.durable, self.fixed_port = state.create_folder(folder), durable, port
        self.environment = dict(os.environ)
        self.command = []

    def prepare(self) -> None:
        """Create the data, end a leftover server, and set `command`.

        Does nothing when called again: a restart keeps the port.
        """
        self.command = self.command or self._prepare()

    @abstractmethod
    def _prepare(self) -> list[str]: ...

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    def ready_message(self) -> str:
        return f"ready on {state.HOST}:{self.port}"


def start_server(server: Server) -> subprocess.Popen[bytes]:
    """Start a server and wait until it is ready. Raises DevstackError if it is not within a minute.

    After its process has ended, the same server can be started again: it keeps its data, port and URL.
    """
    server.prepare()
    log = server.folder / f"{server.name}.log"
    with log.open("ab") as output:
        process = launch.start(
            server.command, output, server.stop_signal, server.run_as, env=server.environment
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while not server.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                end = last_lines(log.read_text(errors="replace"))
                raise DevstackError(f"{server.name} did not start in {server.folder}:\n{end}")
            time.sleep(0.01)
    except BaseException:
        _stop(process, server)
        raise
    return process


@contextmanager
def running(server: Server) -> Iterator[str]:
    """Run a server. Yields its URL."""
    with ExitStack() as stack:
        try:
            stack.enter_context(state.locked(server.folder / f"{server.name}.lock"))
        except BlockingIOError:
            raise DevstackError(f"Another process runs {server.name} in {server.folder}.") from None
        stack.callback(_stop, start_server(server), server)
        yield server.url


def _stop(process: subprocess.Popen[bytes], server: Server) -> None:
    if sys.platform != "win32":  # Windows has no signal that asks a process to stop
        process.send_signal(server.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT)
    process.kill()
    process.wait()
