"""PostgreSQL and Valkey for a block of code: what the tests stand on."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import launch
from .errors import Problem
from .files import last_lines, locked, state
from .postgres import Postgres
from .valkey import Valkey

PATIENCE = 60  # seconds until an engine must answer; a crash recovery takes a while


@contextmanager
def postgres(folder: Path, *, durable: bool = False, use_environment: bool = False) -> Iterator[str]:
    """The URL of an empty or kept database `app` in `folder`; the role may create more databases.

    Not durable means fast: a crash of the machine may lose the cluster. Raises Problem.
    """
    if use_environment and (url := os.environ.get("DATABASE_URL")):
        yield url
        return
    with _running(Postgres(state(folder), durable=durable)) as url:
        yield url


@contextmanager
def valkey(folder: Path, *, durable: bool = False, use_environment: bool = False) -> Iterator[str]:
    """The URL of a server with 64 databases, to be completed by /0 to /63. Raises Problem."""
    if use_environment and (url := os.environ.get("REDIS_URL")):
        yield url
        return
    with _running(Valkey(state(folder), durable=durable)) as url:
        yield url


@contextmanager
def _running(engine: Postgres | Valkey) -> Iterator[str]:
    try:
        with locked(engine.folder / f"{engine.name}.lock"):
            engine.prepare()
            log = engine.folder / f"{engine.name}.log"
            with log.open("wb") as output:
                process = launch.start(
                    engine.command, output, engine.stop, engine.identity, env=engine.environment
                )
            try:
                deadline = time.monotonic() + PATIENCE
                while not engine.answers():
                    if process.poll() is not None or time.monotonic() > deadline:
                        text = last_lines(log.read_text(errors="replace"))
                        raise Problem(f"{engine.name} did not start in {engine.folder}:\n{text}")
                    time.sleep(0.01)
                yield engine.url
            finally:
                if sys.platform != "win32":  # there nothing can be asked
                    process.send_signal(engine.stop)
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(10)
                process.kill()
                process.wait()
    except BlockingIOError:
        raise Problem(f"Another process runs {engine.name} in {engine.folder}.") from None
