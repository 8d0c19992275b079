"""Run an embedded PostgreSQL or Valkey server during a block of code."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from . import launch
from .errors import DevstackError
from .output import last_lines
from .postgres import Postgres
from .state import locked
from .valkey import Valkey

START_TIMEOUT = 60.0  # seconds; crash recovery can take a while
STOP_TIMEOUT = 10.0


@contextmanager
def run_postgres(folder: Path, *, durable: bool = False) -> Iterator[str]:
    """Run PostgreSQL with its data in `folder`. Yields the URL of the database `app`.

    Its role may create other databases. Call this in the main thread: the server ends with the thread that
    started it. Raises DevstackError if the server cannot start.
    """
    with _running(Postgres(folder, durable=durable)) as url:
        yield url


@contextmanager
def run_valkey(folder: Path, *, durable: bool = False) -> Iterator[str]:
    """Run Valkey with its data in `folder`, like `run_postgres`. Append /0 to /63 to the URL."""
    with _running(Valkey(folder, durable=durable)) as url:
        yield url


def start_server(server: Postgres | Valkey) -> subprocess.Popen[bytes]:
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
def _running(server: Postgres | Valkey) -> Iterator[str]:
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(server.folder / f"{server.name}.lock"))
        except BlockingIOError:
            raise DevstackError(f"Another process runs {server.name} in {server.folder}.") from None
        stack.callback(_stop, start_server(server), server)
        yield server.url


def _stop(process: subprocess.Popen[bytes], server: Postgres | Valkey) -> None:
    if sys.platform != "win32":  # Windows has no signal that asks a process to stop
        process.send_signal(server.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT)
    process.kill()
    process.wait()
