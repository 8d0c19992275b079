"""What is wrong with a tree, said once, with the files, the URL and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One thing to mend. `files` are the files concerned, the one to change first."""

    code: str
    files: tuple[Path, ...]
    message: str


class RouteTreeError(SystemExit):
    """All problems of a tree in one report.

    It is a `SystemExit` whose code is the report: where nobody catches it, Python prints the report and
    exits with 1, without a traceback, for there is nothing to learn from the stack of a server that starts.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
        self.report = "\n".join([f"{count} in the route tree:", *(f"  {p.message}" for p in problems)])
        super().__init__(self.report)


def shown(path: Path) -> str:
    """The path as it is typed here."""
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()
