"""What `dev` prints: steps, and the lines of its children behind their names."""

import contextlib
import os
import sys

COLOURS = {"postgres": 34, "valkey": 31, "migrate": 33, "seed": 33, "dev": 35}
OTHERS = (36, 32, 95, 94, 93, 92)


class Terminal:
    """Standard output; coloured when a person looks and NO_COLOR is not set. Every line is flushed."""

    def __init__(self, names: list[str]) -> None:
        self.width = max(map(len, [*COLOURS, *names]))
        self.coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        others = [name for name in names if name not in COLOURS]
        self.colours = COLOURS | {name: OTHERS[i % len(OTHERS)] for i, name in enumerate(others)}

    def write(self, text: str) -> None:
        """One or more lines as they are. Whoever read them may be gone: that ends nothing."""
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.buffer.write(f"{text}\n".encode(errors="replace"))
            sys.stdout.buffer.flush()

    def step(self, name: str, text: str, seconds: float | None = None) -> None:
        """Something that `dev` did, and how long it took."""
        self.write(self._name(name) + f"  {text}" + (f"  {seconds:.2f} s" if seconds is not None else ""))

    def line(self, name: str, text: str) -> None:
        """Something that a child printed."""
        self.write(self._name(name) + f" | {text}")

    def _name(self, name: str) -> str:
        padded = name.ljust(self.width)
        return f"\x1b[{self.colours.get(name, 0)}m{padded}\x1b[0m" if self.coloured else padded
