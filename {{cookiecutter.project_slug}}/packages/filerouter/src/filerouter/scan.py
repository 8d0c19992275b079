"""Files to URLs. Reads names only: nothing is imported, so a broken file cannot stop the scan."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filerouter import conflicts
from filerouter.problems import Problem, RouteTreeError, shown
from filerouter.segments import BadSegment, Segment, parse


@dataclass
class RouteFile:
    """A file that answers a URL. `methods` is empty until the tree is mounted."""

    path: Path
    segments: tuple[Segment, ...]
    prefix: str = ""
    folders: tuple[Path, ...] = ()  # the `_folder.py` files above it, root first
    methods: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """As Starlette writes it: `/users/{user_id}/files/{path:rest}`."""
        return conflicts.url(self.segments, self.prefix)

    @property
    def where(self) -> str:
        """File and URL, as a problem begins."""
        return f"{shown(self.path)} ({conflicts.place(self.segments, self.prefix)})"

    @property
    def pattern(self) -> str:
        """As the disk writes it, without groups: `/users/[user_id]/files/[...path]`."""
        return "/" + "/".join(segment.pattern for segment in self.segments)

    @property
    def name(self) -> str:
        """The name for `url_for`: `users.[user_id].files.[...path]`."""
        return ".".join(segment.pattern for segment in self.segments) or "index"


def scan(root: Path, prefix: str = "") -> list[RouteFile]:
    """The route files below `root` in the order of precedence. Raises RouteTreeError with all problems."""
    files, problems = survey(root, prefix)
    if problems:
        raise RouteTreeError(problems)
    return files


def survey(root: Path, prefix: str = "") -> tuple[list[RouteFile], list[Problem]]:
    """As `scan`, but gives the problems back beside the files that have none of their own."""
    root = Path(root).absolute()
    if not root.is_dir():
        return [], [
            Problem("no-root", (root,), f"{shown(root)}: is no folder. Give the folder of the route files.")
        ]
    files: list[RouteFile] = []
    problems: list[Problem] = []
    for found in _walk(root, root.resolve(), (), (), prefix):
        (files if isinstance(found, RouteFile) else problems).append(found)  # type: ignore[arg-type]
    claims = [conflicts.Claim(file.segments, file.path) for file in files]
    alone = [problem for claim in claims for problem in conflicts.alone(claim, prefix)]
    problems += [*alone, *conflicts.find(claims, prefix)]
    files = [file for file in files if not any(file.path in problem.files for problem in alone)]
    if not files and not problems:
        text = f"{shown(root)}: no route file. A first one: {shown(root)}/health.py with async def get()."
        problems.append(Problem("no-routes", (root,), text))
    return sorted(files, key=lambda file: [segment.slot for segment in file.segments]), problems


def _walk(
    folder: Path, root: Path, segments: tuple[Segment, ...], folders: tuple[Path, ...], prefix: str
) -> Iterator[RouteFile | Problem]:
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    if any(entry.name == "_folder.py" for entry in entries):
        folders = (*folders, folder / "_folder.py")
    for entry in entries:
        path, stem = folder / entry.name, entry.name.removesuffix(".py")
        is_folder = entry.is_dir()
        if _ignored(entry.name) or not (is_folder or entry.name.endswith(".py")):
            continue
        if entry.is_symlink() and (is_folder or not path.resolve().is_relative_to(root)):
            text = (
                f"{shown(path)}: is a link that leaves the tree or leads to a folder. Copy the file instead."
            )
            yield Problem("link", (path,), text)
            continue
        try:
            segment = None if stem == "index" and not is_folder else parse(stem)
            if segment is None and not is_folder and stem != "index":
                raise BadSegment(f"{stem!r} is a group, and groups are folders. Write {stem}/index.py")
        except BadSegment as error:
            if not is_folder or any(_routes_below(path)):
                yield Problem("bad-segment", (path,), f"{shown(path)}: {error}.")
            continue
        below = segments if segment is None else (*segments, segment)
        if is_folder:
            yield from _walk(path, root, below, folders, prefix)
        else:
            yield RouteFile(path, below, prefix, folders)


def _ignored(name: str) -> bool:
    """Private names, tests, and the lock files of Emacs."""
    if not name.endswith(".py"):
        return name.startswith("_")
    return name.startswith(("_", ".#", "test_")) or name.endswith("_test.py") or name == "conftest.py"


def _routes_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*.py") if not _ignored(path.name))
