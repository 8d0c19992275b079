"""One process under supervision: started, asked whether it answers, started again when it ends."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol

from . import launch
from .errors import Problem
from .terminal import Terminal
from .tracebacks import Trimmer

FIRST_DELAY, LONGEST_DELAY = 0.2, 10.0  # seconds between two attempts; doubled each time
LASTING = 30.0  # seconds after which a process counts as running well
PATIENCE = 5.0  # seconds between being asked to stop and being killed
LONGEST_LINE = 1 << 16


class Service(Protocol):
    """What a child runs: an engine, or a row of pyproject.toml."""

    name: str
    stop: signal.Signals
    identity: launch.Identity
    mendable: bool  # a change of the project's files may cure it

    @property
    def command(self) -> list[str]: ...
    @property
    def environment(self) -> dict[str, str]: ...
    @property
    def where(self) -> str: ...
    def answers(self) -> bool: ...
    def telling(self, line: str) -> bool:
        """Whether a person wants to see this line."""
        ...


class Child:
    """A service's process, as often as it takes. Start, `keep` and `end` it from the main thread."""

    def __init__(self, service: Service, folder: Path, state: Path, terminal: Terminal) -> None:
        self.service, self.folder, self.terminal, self.name = service, folder, terminal, service.name
        self.pid_file, self.log = state / f"{self.name}.pid", state / f"{self.name}.log"
        self.up = asyncio.Event()  # it has answered once
        self.changed = asyncio.Event()  # somebody wants a fresh one
        self.answering = False
        self.recent: deque[str] = deque(maxlen=10)
        self.process: asyncio.subprocess.Process | None = None
        self.log.unlink(missing_ok=True)

    async def start(self, began: float | None = None) -> bool:
        """Start it and wait. False if it ended, or a change came, before it answered."""
        self.recent.clear()
        self.process = await asyncio.create_subprocess_exec(
            *self.service.command,
            cwd=self.folder,
            env=self.service.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            **launch.options(self.service.stop, self.service.identity),
        )
        self.answering = False
        self.reading = asyncio.create_task(self._read(self.process))
        self.pid_file.write_text(str(self.process.pid))
        reported = time.monotonic()
        began = began or reported
        while self.process.returncode is None and not self.changed.is_set():
            if await asyncio.to_thread(self.service.answers):
                self.answering = True
                self.up.set()
                self.terminal.step(
                    self.name, f"ready {self.service.where}".rstrip(), time.monotonic() - began
                )
                return True
            if time.monotonic() - reported > LASTING:
                reported = time.monotonic()
                self.terminal.step(self.name, "does not answer yet", reported - began)
            await asyncio.sleep(0.01)
        return False

    async def keep(self, *, started: bool = False) -> None:
        """Run it for ever; `started` says that `start` was awaited already."""
        delay = FIRST_DELAY
        while True:
            answered = started or await self._attempt()
            began, started = time.monotonic(), False
            if answered:
                await self._first_of(self._ended(), self.changed.wait())
            if time.monotonic() - began > LASTING:
                delay = FIRST_DELAY
            how, self.answering = _manner(self.process and self.process.returncode), False
            await self.end()
            if not self.changed.is_set() and not answered and self.service.mendable:
                self.terminal.step(self.name, f"{how} before it answered; waits for a change")
                await self.changed.wait()
            elif not self.changed.is_set():
                self.terminal.step(self.name, f"{how}; starts again in {delay:g} s")
                await self._first_of(asyncio.sleep(delay), self.changed.wait())
                delay = min(delay * 2, LONGEST_DELAY)
            if self.changed.is_set():
                delay = FIRST_DELAY
            self.changed.clear()

    async def _attempt(self) -> bool:
        try:
            return await self.start()
        except Problem as problem:  # settings that became wrong while we run
            self.terminal.step(self.name, str(problem))
            return False

    async def _ended(self) -> None:
        """Wait for the process. Its `wait` would also wait for the pipe, which its own children may hold."""
        while self.process and self.process.returncode is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def end(self, patience: float = PATIENCE) -> None:
        """Ask it to stop, kill what is left of its group after `patience` seconds."""
        if not self.process:
            return
        if self.process.returncode is None and sys.platform != "win32":  # there nothing can be asked
            self.process.send_signal(self.service.stop)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended(), patience)
        self.kill()
        await self._ended()
        await asyncio.wait([self.reading], timeout=1)  # what a killed worker's pipe still holds
        self.reading.cancel()
        self.pid_file.unlink(missing_ok=True)
        self.process = None  # its number may be somebody else's from now on

    def kill(self) -> None:
        """End it and its own children at once, whoever of them still lives."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.process and sys.platform == "win32":
                launch.kill_tree(self.process.pid)
            elif self.process:
                os.killpg(self.process.pid, signal.SIGKILL)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Pass on what it prints, line by line; a traceback shortened while it is starting."""
        trimmer, rest, stream = Trimmer(self.folder), b"", process.stdout
        assert stream
        with self.log.open("ab", buffering=0) as log:
            while chunk := await stream.read(LONGEST_LINE):
                with contextlib.suppress(OSError):  # a full disk must not stop the reading
                    log.write(chunk)
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > LONGEST_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    text = line.decode(errors="replace").rstrip()
                    self._show([*trimmer.flush(), text] if self.answering else trimmer.feed(text))
            self._show(trimmer.flush() + ([rest.decode(errors="replace")] if rest else []))

    def _show(self, lines: list[str]) -> None:
        self.recent.extend(lines)
        for line in filter(self.service.telling, lines):
            self.terminal.line(self.name, line)

    @staticmethod
    async def _first_of(*waits: Coroutine[Any, Any, Any]) -> None:
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()


def _manner(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None:
        return "not started"
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
