"""Tracebacks cut down to the project's own frames."""

import re
from pathlib import Path

START = "Traceback (most recent call last):"
FRAME = re.compile(r'\s*File "(?P<file>[^"]+)", line \d+')


class Trimmer:
    """Lines in, lines out; frames of libraries and of Python itself are left out, unless there are no others.

    The last frame of a SyntaxError names the broken file without being called, and is always kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: list[list[str]] | None = None  # the frames of the traceback that is being read

    def feed(self, line: str) -> list[str]:
        """The lines that can be shown now."""
        if line.strip().endswith(START):
            return [*self.flush(), *self._begin(line)]
        if self.held is None:
            return [line]
        if FRAME.match(line):
            self.held.append([line])
            return []
        if line.startswith(" ") and self.held:
            self.held[-1].append(line)
            return []
        return [*self.flush(), line]

    def flush(self) -> list[str]:
        """The frames worth showing of a traceback that ended."""
        frames, self.held = self.held or [], None
        ours = [frame for frame in frames if self._ours(frame[0])] or frames[-1:]
        return [line for frame in ours for line in frame]

    def _begin(self, line: str) -> list[str]:
        self.held = []
        return [line]

    def _ours(self, frame: str) -> bool:
        match = FRAME.match(frame)
        file = Path(match["file"]) if match else Path()
        return self.folder in file.parents and "site-packages" not in file.parts
