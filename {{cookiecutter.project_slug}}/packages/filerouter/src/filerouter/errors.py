"""Problems of a route tree, and the error that reports them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RouteProblem:
    """One problem. `files` are the files involved; the first is the one to change."""

    code: str
    files: tuple[Path, ...]
    message: str

    @classmethod
    def at(cls, path: Path, code: str, text: str) -> "RouteProblem":
        """Return a problem of one path. The message begins with the path."""
        return cls(code, (path,), f"{display_path(path)}: {text}")


class RouteTreeError(SystemExit):
    """All problems of a route tree in one report.

    If nothing catches it, Python prints the report and exits with code 1, as for every `SystemExit` with a
    text. There is no traceback because the errors are in the route files, not in the code that mounts them.
    """

    def __init__(self, problems: Sequence[RouteProblem]) -> None:
        self.problems = tuple(problems)
        count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
        lines = [f"  {problem.message}" for problem in problems]
        super().__init__("\n".join([f"{count} in the route tree:", *lines]))


def display_path(path: Path) -> str:
    """Return the path relative to the working directory, if it is below it."""
    cwd = Path.cwd()
    return (path.relative_to(cwd) if path.is_relative_to(cwd) else path).as_posix()
