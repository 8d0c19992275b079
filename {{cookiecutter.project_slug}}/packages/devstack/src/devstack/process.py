"""One process under supervision: start it, wait until it is ready, restart it when it exits."""

import asyncio
import contextlib
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from pathlib import Path

from . import launch
from .errors import DevstackError
from .output import Terminal, TracebackFilter, last_lines

FIRST_DELAY, MAX_DELAY = 0.2, 10.0  # seconds before a restart; doubled each time
STABLE_AFTER = 30.0  # seconds after which the delay is reset
REPORT_INTERVAL = 30.0  # seconds between reports that a process is not ready yet
STOP_TIMEOUT = 5.0  # seconds between the signal to stop and SIGKILL
MAX_LINE = 1 << 16  # bytes


class Service(ABC):
    """The program that a ManagedProcess runs: a server, or a process that pyproject.toml defines."""

    name: str
    stop_signal = signal.SIGTERM
    run_as: launch.RunAs = "self"
    required = False  # if the first start fails: raise the error, do not retry
    restart_on_change = False  # if it exits before it is ready: wait for a file change, do not retry
    command: list[str]
    environment: dict[str, str]

    @abstractmethod
    def prepare(self) -> None:
        """Set `command` and `environment`. Called before each start."""

    @abstractmethod
    def is_ready(self) -> bool: ...

    @property
    @abstractmethod
    def ready_message(self) -> str: ...

    @abstractmethod
    def observe(self, line: str) -> bool:
        """Process a line of output. Returns whether to show it."""


class ManagedProcess:
    """Runs a service. Call `run` and `stop` in the main thread."""

    def __init__(self, service: Service, folder: Path, state: Path, terminal: Terminal) -> None:
        self.service, self.folder, self.terminal, self.name = service, folder, terminal, service.name
        self.pid_file, self.log = state / f"{self.name}.pid", state / f"{self.name}.log"
        self.was_ready = asyncio.Event()  # at least once
        self.restart_requested = asyncio.Event()
        self.ready = False
        self.recent_lines: deque[str] = deque(maxlen=10)
        self.process: asyncio.subprocess.Process | None = None
        self.log.unlink(missing_ok=True)

    async def run(self) -> None:
        """Keep the process running until cancelled. Raises DevstackError if a required one cannot start."""
        delay = FIRST_DELAY
        while True:
            if self.restart_requested.is_set():
                delay = FIRST_DELAY
                self.restart_requested.clear()
            try:
                await self._start()
            except DevstackError as error:  # for example because the settings have changed and are invalid
                if self.service.required:
                    raise
                self.terminal.step(self.name, str(error))
            ready, ready_since = self.ready, time.monotonic()
            await self._wait_for_exit(or_restart=True)
            if time.monotonic() - ready_since > STABLE_AFTER:
                delay = FIRST_DELAY
            outcome = _describe_exit(self.process.returncode if self.process else None)
            self.ready = False
            await self.stop()
            if self.restart_requested.is_set():
                continue
            if self.service.required and not self.was_ready.is_set():
                end = last_lines("\n".join(self.recent_lines))
                raise DevstackError(f"{self.name} did not start in {self.log.parent}:\n{end}")
            if self.service.restart_on_change and not ready:
                self.terminal.step(self.name, f"{outcome} before becoming ready; waiting for a file change")
                await self.restart_requested.wait()
            else:
                self.terminal.step(self.name, f"{outcome}; restarting in {delay:g} s")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.restart_requested.wait(), delay)
                delay = min(delay * 2, MAX_DELAY)

    async def _start(self) -> None:
        """Start the process. Returns when it is ready, or when it exits or must restart before that."""
        reported = began = time.monotonic()
        self.service.prepare()
        self.recent_lines.clear()
        self.process = await asyncio.create_subprocess_exec(
            *self.service.command,
            cwd=self.folder,
            env=self.service.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            **launch.popen_options(self.service.stop_signal, self.service.run_as),
        )
        self.reader = asyncio.create_task(self._read_output(self.process))
        self.pid_file.write_text(str(self.process.pid))
        while self.process.returncode is None and not self.restart_requested.is_set():
            if await asyncio.to_thread(self.service.is_ready):
                self.ready = True
                self.was_ready.set()
                self.terminal.step(self.name, self.service.ready_message, time.monotonic() - began)
                return
            if time.monotonic() - reported > REPORT_INTERVAL:
                reported = time.monotonic()
                self.terminal.step(self.name, "not ready yet", reported - began)
            await asyncio.sleep(0.01)

    async def stop(self, patience: float = STOP_TIMEOUT) -> None:
        """Ask the process to stop; after `patience` seconds kill what is left of its group."""
        if not self.process:
            return
        if self.process.returncode is None and sys.platform != "win32":  # Windows has no signal for that
            self.process.send_signal(self.service.stop_signal)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wait_for_exit(), patience)
        self.kill()
        await self._wait_for_exit()
        await asyncio.wait([self.reader], timeout=1)  # the pipe may still hold output
        self.reader.cancel()
        self.pid_file.unlink(missing_ok=True)
        self.process = None  # the system may give its pid to another program from now on

    def kill(self) -> None:
        """Kill the process and its children at once, also those that outlived it."""
        if self.process:
            launch.kill_group(self.process.pid)

    async def _wait_for_exit(self, *, or_restart: bool = False) -> None:
        # Process.wait() would also wait for the pipe, which children of the process may hold open.
        while self.process and self.process.returncode is None:
            if or_restart and self.restart_requested.is_set():
                return
            await asyncio.sleep(0.02)

    async def _read_output(self, process: asyncio.subprocess.Process) -> None:
        """Log and show the output line by line. Tracebacks are shortened until the process is ready."""
        tracebacks, rest, stream = TracebackFilter(self.folder), b"", process.stdout
        assert stream
        with self.log.open("ab", buffering=0) as log:
            while chunk := await stream.read(MAX_LINE):
                with contextlib.suppress(OSError):  # keep reading if the disk is full
                    log.write(chunk)
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > MAX_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    text = line.decode(errors="replace").rstrip()
                    self._show([*tracebacks.flush(), text] if self.ready else tracebacks.feed(text))
            self._show(tracebacks.flush() + ([rest.decode(errors="replace")] if rest else []))

    def _show(self, lines: list[str]) -> None:
        self.recent_lines.extend(lines)
        for line in lines:
            if self.service.observe(line):
                self.terminal.line(self.name, line)


def _describe_exit(code: int | None) -> str:
    if code is None:
        return "not started"
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
