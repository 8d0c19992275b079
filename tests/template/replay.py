"""Follow a chapter of the tutorial: save its files, run its commands, compare their output with the chapter.

    ```python title="app/api/ping.py"                   saves the block under that name
    ```python title="app/settings.py, above team_email" inserts the block before the one line that starts with this,
                                                        not counting blanks and quotation marks
    ```console                                          runs each line after `$ ` and compares its output
    ```console title="Leave it running"                 starts the command and waits until it has printed the output,
                                                        unless it is running already
    <!-- stop -->                                       stops what was left running, except `dev`
    <!-- stop all -->                                   stops `dev`, too

In a command, `token=…` is replaced by the last token that `dev` has printed. In expected output, `…` matches any part
of a line, and a line with nothing but `…` matches any lines. A command without expected output, or with only `…`, must
succeed. Ports are replaced by free ones, so that several replays can run on one machine.
"""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = re.compile(
    r"^```(\w+)(?: +title=\"([^\"]+)\")?[^\n]*\n(.*?)^```$|^<!-- (stop(?: all)?) -->$", re.MULTILINE | re.DOTALL
)
DEV = "uv run dev"
PORTS = ("8000", "9000", "9001", "9002")
SECONDS = 600


class Differs(AssertionError):  # noqa: N818
    """The output of a command differs from the chapter."""


@dataclass
class Step:
    """One fenced block of a chapter."""

    language: str
    title: str
    text: str

    def commands(self) -> Iterator[tuple[str, str]]:
        """Yield each command and its expected output."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command = re.match(r"(?:[^\n]*\\\n)*[^\n]*\n", part)
            assert command
            yield command[0], part[command.end() :]


def steps(chapter: str) -> list[Step]:
    """Return the blocks to save or run. The others are for reading only."""
    found = [Step(language or stop, title, text) for language, title, text, stop in BLOCK.findall(chapter)]
    return [step for step in found if step.title or step.language.startswith(("console", "stop"))]


def expected_output(text: str) -> re.Pattern[str]:
    """Return a pattern that matches the outputs for which `text` stands."""
    lines = [
        r"(?:[^\n]*\n)*?" if line.strip() == "…" else r"[^\n]*?".join(map(re.escape, line.split("…"))) + r"[ ]*\n"
        for line in text.rstrip().splitlines()
    ]
    return re.compile("".join(lines))


def free_port() -> str:
    """Return a port that is not in use."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return str(server.getsockname()[1])


@dataclass
class Running:
    """A program that was left running, and the file with its output."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        """The output so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait(self, pattern: re.Pattern[str], since: int = 0) -> None:
        """Wait until the output after `since` matches. Raises Differs if the program ends first, or on a time-out."""
        deadline = time.monotonic() + SECONDS
        while not pattern.search(self.output, since):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Differs(f"Not printed within {SECONDS} s:\n{pattern.pattern}\n--- The output is:\n{self.output}")
            time.sleep(0.05)

    def settle(self, since: int) -> None:
        """Wait until `dev` has restarted the application after the last of several changes."""
        restart, end = (re.compile(rf"^api +{text}", re.MULTILINE) for text in ("restarting:", "(?:ready|exited)"))
        self.wait(restart, since)
        quiet, last = None, since
        while quiet != (quiet := self.output):
            last = [match.start() for match in restart.finditer(quiet)][-1]
            self.wait(end, last)
            time.sleep(0.7)
        if not re.search(r"^api +ready", quiet[last:], re.MULTILINE):
            raise Differs(f"The application does not start:\n{quiet[last:]}")

    def stop(self) -> None:
        """Send SIGINT to the whole process group, as Ctrl-C does."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise


@dataclass
class Replay:
    """A reader's machine: a folder, a shell and free ports."""

    folder: Path
    environment: dict[str, str]
    logs: Path
    running: dict[str, Running] = field(default_factory=dict)
    ports: dict[str, str] = field(default_factory=lambda: {port: free_port() for port in PORTS})
    changed: int | None = None
    """The length of the output of `dev` when a file was saved that restarts the application."""

    def chapter(self, text: str) -> None:
        """Run all steps. Programs that a chapter leaves running continue in the next one."""
        text = re.sub(r"\b(" + "|".join(PORTS) + r")\b", lambda match: self.ports[match[0]], text)
        for step in steps(text):
            if step.language.startswith("stop"):
                self.stop(but="" if step.language == "stop all" else DEV)
            elif step.language != "console":
                self.save(step)
            elif step.title:
                self.leave(step)
            else:
                for command, expected in step.commands():
                    self.run(command, expected)

    def stop(self, but: str = "") -> None:
        """Stop the programs that were left running, the latest first."""
        for command in [command for command in reversed(self.running) if command != but]:
            self.running.pop(command).stop()

    def save(self, step: Step) -> None:
        """Write a file, or insert into one."""
        name, _, place = step.title.partition(", above ")
        path, text = self.folder / name, step.text
        if place:
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            (at,) = [number for number, line in enumerate(lines) if line.lstrip(' "').startswith(place)]
            text = "".join([*lines[:at], text, *lines[at:]])
        reloads = name.startswith("app/") and not name.startswith("app/api/")
        if DEV in self.running and self.changed is None and reloads:
            self.changed = len(self.running[DEV].output)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def settle(self) -> None:
        """Wait for the restart that a saved file has caused. A person needs that long to change windows."""
        if self.changed is not None:
            self.running[DEV].settle(self.changed)
            self.changed = None

    def printed(self, name: re.Match[str]) -> str:
        """Return the value that a reader copies from the terminal of `dev`."""
        value = re.compile(rf"\b{name[1]}=(\S+)")
        self.running[DEV].wait(value)
        return f"{name[1]}={value.findall(self.running[DEV].output)[-1]}"

    def run(self, command: str, expected: str) -> None:
        """Run the command in the shell, in which `cd` persists, and compare its whole output."""
        self.settle()
        where = self.logs / "pwd"
        command = re.sub(r"(\w+)=…", self.printed, command)
        script = f"{command}\nstatus=$?\npwd > '{where}'\nexit $status"
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment | {"PORT": self.ports["8000"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
        )
        output = done.stdout.decode(errors="replace").replace("\r", "").rstrip() + "\n"
        self.folder = Path(where.read_text().strip())
        if expected.strip() and not expected_output(expected).fullmatch(output):
            raise Differs(f"$ {command}--- expected:\n{expected}--- printed:\n{output}")
        if not expected.replace("…", "").strip() and done.returncode:
            raise Differs(f"$ {command}--- exit code {done.returncode}:\n{output}")

    def leave(self, step: Step) -> None:
        """Start the command, unless it is running, and wait for its expected output."""
        ((command, expected),) = step.commands()
        command = command.strip()
        if command in self.running:
            self.settle()
            return
        log = self.logs / f"{len(list(self.logs.iterdir()))}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self.environment | {"PORT": self.ports["8000"]},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running[command] = Running(process, log)
        self.running[command].wait(expected_output(expected))
