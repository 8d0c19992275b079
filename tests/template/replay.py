"""Do what a chapter of the tutorial says, and compare what it shows.

    ```python title="app/api/ping.py"                   is saved under that name
    ```python title="app/settings.py, above log_level"  goes in front of the line that begins so (a quote apart)
    ```console                                          each line behind `$ ` is run, and prints what follows it
    ```console title="Leave it running"                 the same, but the next step comes when all that is shown is
                                                        printed, or at once if it still runs
    <!-- stop -->                                       what was left running is stopped, but for `dev`
    <!-- stop all -->                                   and `dev`, too

In a command, `token=…` stands for the last token that `dev` has printed.
In what is shown, `…` stands for any part of a line, and a line of `…` alone for any lines. A command that shows
nothing, or nothing but that, must succeed. Ports are replaced by free ones, so that several replays can run on one
machine.
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
SECONDS = 120


class Differs(AssertionError):  # noqa: N818
    """The chapter shows something else than what happens."""


@dataclass
class Step:
    """One fenced block."""

    language: str
    title: str
    text: str

    def commands(self) -> Iterator[tuple[str, str]]:
        """What is run, and what is shown below it."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command = re.match(r"(?:[^\n]*\\\n)*[^\n]*\n", part)
            assert command
            yield command[0], part[command.end() :]


def steps(chapter: str) -> list[Step]:
    """The blocks that do something; others are only read."""
    found = [Step(language or stop, title, text) for language, title, text, stop in BLOCK.findall(chapter)]
    return [step for step in found if step.title or step.language.startswith(("console", "stop"))]


def shown(text: str) -> re.Pattern[str]:
    """What matches an output that is shown as `text`."""
    lines = [
        r"(?:[^\n]*\n)*?" if line.strip() == "…" else r"[^\n]*?".join(map(re.escape, line.split("…"))) + r"[ ]*\n"
        for line in text.rstrip().splitlines()
    ]
    return re.compile("".join(lines))


def free_port() -> str:
    """A port that nobody has now."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return str(server.getsockname()[1])


@dataclass
class Running:
    """A program that was left running, and what it has printed."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        """Everything so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait(self, pattern: re.Pattern[str], since: int = 0) -> None:
        """Come back when it has printed something that matches."""
        deadline = time.monotonic() + SECONDS
        while not pattern.search(self.output, since):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Differs(f"Never printed, or not in {SECONDS} s:\n{pattern.pattern}\n--- but:\n{self.output}")
            time.sleep(0.05)

    def settle(self, since: int) -> None:
        """Wait until `dev` has restarted the application, for the last of several changes."""
        self.wait(re.compile(r"^api +starts afresh", re.MULTILINE), since)
        quiet = None
        while quiet != (quiet := self.output):
            last = [match.start() for match in re.finditer(r"^api +starts afresh", quiet, re.MULTILINE)][-1]
            self.wait(re.compile(r"^api +ready", re.MULTILINE), last)
            time.sleep(0.7)

    def stop(self) -> None:
        """As Ctrl-C does, which reaches the whole group."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise


@dataclass
class Replay:
    """A reader's machine: a folder, a shell, and the ports that are free."""

    folder: Path
    environment: dict[str, str]
    logs: Path
    running: dict[str, Running] = field(default_factory=dict)
    ports: dict[str, str] = field(default_factory=lambda: {port: free_port() for port in PORTS})
    changed: int | None = None
    """How much `dev` had printed when a file was saved that makes it restart."""

    def chapter(self, text: str) -> None:
        """Do all of its steps. What it leaves running is there in the next one, as it is for a reader."""
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
        """Stop what was left running, the latest first."""
        for command in [command for command in reversed(self.running) if command != but]:
            self.running.pop(command).stop()

    def save(self, step: Step) -> None:
        """Write a file, or a part of one."""
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
        """Give `dev` the time that a person needs to go to the other window."""
        if self.changed is not None:
            self.running[DEV].settle(self.changed)
            self.changed = None

    def printed(self, name: re.Match[str]) -> str:
        """What somebody copies from the terminal of `dev`."""
        value = re.compile(rf"\b{name[1]}=(\S+)")
        self.running[DEV].wait(value)
        return f"{name[1]}={value.findall(self.running[DEV].output)[-1]}"

    def run(self, command: str, expected: str) -> None:
        """Run it in the shell, where `cd` lasts; compare all that it prints."""
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
        if expected.strip() and not shown(expected).fullmatch(output):
            raise Differs(f"$ {command}--- is to print:\n{expected}--- prints:\n{output}")
        if not expected.replace("…", "").strip() and done.returncode:
            raise Differs(f"$ {command}--- ends with {done.returncode}:\n{output}")

    def leave(self, step: Step) -> None:
        """Start it, unless it still runs, and wait for what it shows first."""
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
        self.running[command].wait(shown(expected))
