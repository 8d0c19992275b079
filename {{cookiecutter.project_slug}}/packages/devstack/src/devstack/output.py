"""What `dev` prints: its own steps, the output of its processes, shortened tracebacks."""

import contextlib
import itertools
import os
import re
import sys
from pathlib import Path

STEPS = ("dev", "postgres", "valkey", "migrate", "seed")
COLOURS = (35, 34, 31, 33, 33, 36, 32, 95, 94, 93, 92)
TRACEBACK = "Traceback (most recent call last):"
FRAME = re.compile(r'\s*File "(?P<file>[^"]+)", line \d+')


class Terminal:
    """Standard output, flushed after each line. Colored on a terminal, unless NO_COLOR is set."""

    def __init__(self, names: list[str]) -> None:
        self.width = max(map(len, [*STEPS, *names]))
        self.coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self.colours = dict(zip([*STEPS, *names], itertools.cycle(COLOURS), strict=False))

    def write(self, text: str) -> None:
        """Print text as it is. Ignores errors: `dev` keeps running when its terminal or pipe is closed."""
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.buffer.write(f"{text}\n".encode(errors="replace"))
            sys.stdout.buffer.flush()

    def step(self, name: str, text: str, seconds: float | None = None) -> None:
        """Print a step of `dev` and how long it took."""
        self.write(self._label(name) + f"  {text}" + (f"  {seconds:.2f} s" if seconds is not None else ""))

    def line(self, name: str, text: str) -> None:
        """Print a line of a process's output."""
        self.write(self._label(name) + f" | {text}")

    def _label(self, name: str) -> str:
        padded = name.ljust(self.width)
        return f"\x1b[{self.colours[name]}m{padded}\x1b[0m" if self.coloured else padded


class TracebackFilter:
    """Drops the frames of libraries and of Python from tracebacks in a stream of lines.

    The last frame is kept if there would be none: in a SyntaxError it names the broken file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.frames: list[list[str]] | None = None  # of the traceback being read: lines of each frame

    def feed(self, line: str) -> list[str]:
        """Add a line. Returns the lines to show now."""
        if line.strip().endswith(TRACEBACK):
            shown = [*self.flush(), line]
            self.frames = []
            return shown
        if self.frames is None:
            return [line]
        if FRAME.match(line):
            self.frames.append([line])
            return []
        if line.startswith(" ") and self.frames:
            self.frames[-1].append(line)
            return []
        return [*self.flush(), line]

    def flush(self) -> list[str]:
        """End the current traceback. Returns the lines of the frames to show."""
        frames, self.frames = self.frames or [], None
        shown = [frame for frame in frames if self._is_of_project(frame[0])] or frames[-1:]
        return [line for frame in shown for line in frame]

    def _is_of_project(self, frame: str) -> bool:
        match = FRAME.match(frame)
        file = Path(match["file"]) if match else Path()
        return self.folder in file.parents and "site-packages" not in file.parts


def last_lines(text: str, count: int = 8) -> str:
    """Return the end of a program's output, indented for an error message."""
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-count:])
