"""Map the files of a folder to URLs, and find conflicts between them.

Only names are read. Nothing is imported, so a broken file cannot stop the scan.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filerouter.errors import RouteProblem, RouteTreeError, display_path
from filerouter.segments import (
    BadSegment,
    Kind,
    Segment,
    Segments,
    expand,
    parse_segment,
    precedence,
    url_path,
)


@dataclass
class RouteFile:
    """A file and the URL it defines. `methods` is empty until the tree is mounted."""

    path: Path
    segments: Segments
    prefix: str = ""
    folders: tuple[Path, ...] = ()  # the `_folder.py` files that apply to it, root first
    methods: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The URL in Starlette's notation: `/users/{user_id}/files/{path:rest}`."""
        return url_path(self.segments, self.prefix)

    @property
    def pattern(self) -> str:
        """The URL in the notation of file names, without groups: `/users/[user_id]/files/[...path]`."""
        return "/" + "/".join(segment.pattern for segment in self.segments)

    @property
    def name(self) -> str:
        """The name for `url_for`: `users.[user_id].files.[...path]`."""
        return ".".join(segment.pattern for segment in self.segments) or "index"

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files that define the routes: the `_folder.py` files, then the file itself."""
        return (*self.folders, self.path)

    @property
    def location(self) -> str:
        """File and URL for messages: `app/api/files/[...path].py (/api/files/{path})`."""
        return f"{display_path(self.path)} ({self.url.replace(':rest}', '}')})"

    def problem(self, code: str, text: str, *others: Path) -> RouteProblem:
        """Return a problem of this file. The message begins with the location."""
        return RouteProblem(code, (self.path, *others), f"{self.location}: {text}")


def scan(root: Path, prefix: str = "") -> list[RouteFile]:
    """Return the route files below `root` in the order of precedence.

    Raises RouteTreeError with all problems.
    """
    files, problems = find_route_files(root, prefix)
    if problems:
        raise RouteTreeError(problems)
    return files


def find_route_files(root: Path, prefix: str = "") -> tuple[list[RouteFile], list[RouteProblem]]:
    """Return the route files in the order of precedence, and all problems.

    Files that are invalid by themselves are left out; files that conflict with others are included.
    """
    root = Path(root).absolute()
    if not root.is_dir():
        return [], [RouteProblem.at(root, "no-root", "is not a folder. Pass the folder of the route files.")]
    found = list(_walk(root, root.resolve(), (), (), prefix))
    files = [item for item in found if isinstance(item, RouteFile)]
    problems = [item for item in found if isinstance(item, RouteProblem)]
    invalid = [problem for file in files for problem in check_segments(file)]
    problems += [*invalid, *find_conflicts(files)]
    if not files and not problems:
        example = f"{display_path(root)}/health.py with async def get()"
        text = f"has no route files. Create one, for example {example}."
        problems.append(RouteProblem.at(root, "no-routes", text))
    skipped = {problem.files[0] for problem in invalid}
    files = [file for file in files if file.path not in skipped]
    return sorted(files, key=lambda file: precedence(file.segments)), problems


def _walk(
    folder: Path, root: Path, segments: Segments, folders: tuple[Path, ...], prefix: str
) -> Iterator[RouteFile | RouteProblem]:
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    if any(entry.name == "_folder.py" for entry in entries):
        folders = (*folders, folder / "_folder.py")
    for entry in entries:
        path, is_folder = folder / entry.name, entry.is_dir()
        if _is_ignored(entry.name) or not (is_folder or entry.name.endswith(".py")):
            continue
        if entry.is_symlink() and (is_folder or not path.resolve().is_relative_to(root)):
            text = "symbolic links to folders, or to files outside the tree, are not followed. "
            yield RouteProblem.at(path, "link", text + "Copy the file instead.")
            continue
        try:
            below = (*segments, *_parse_name(entry.name.removesuffix(".py"), is_folder))
        except BadSegment as error:
            # A folder without route files, such as one with templates, may have any name.
            if not is_folder or any(not _is_ignored(file.name) for file in path.rglob("*.py")):
                yield RouteProblem.at(path, "bad-segment", f"{error}.")
            continue
        if is_folder:
            yield from _walk(path, root, below, folders, prefix)
        else:
            yield RouteFile(path, below, prefix, folders)


def _parse_name(stem: str, is_folder: bool) -> Segments:
    """Return the segment of a file or folder. `index.py` and groups have none."""
    if stem == "index" and not is_folder:
        return ()
    segment = parse_segment(stem)
    if segment is None and not is_folder:
        raise BadSegment(f"{stem!r} is a group, and only folders can be groups. Write {stem}/index.py")
    return () if segment is None else (segment,)


def _is_ignored(name: str) -> bool:
    """Return whether the name is private, of a test, or of an Emacs lock file."""
    if not name.endswith(".py"):
        return name.startswith("_")
    return name.startswith(("_", ".#", "test_")) or name.endswith("_test.py") or name == "conftest.py"


def check_segments(file: RouteFile) -> Iterator[RouteProblem]:
    """Yield the problems of a path that do not depend on other files."""
    names = [segment.text for segment in file.segments if segment.kind >= Kind.PARAM]
    for name in sorted({name for name in names if names.count(name) > 1}):
        text = f"the parameter {name} is used twice. Rename one of them."
        yield file.problem("repeated-parameter", text)
    for segment in file.segments[:-1]:
        if segment.kind >= Kind.CATCH_ALL:
            text = f"nothing can follow {segment.pattern}, because it matches the rest of the path. "
            text += f"Use [{segment.text}] for one segment, or move the file up."
            yield file.problem("catch-all-not-last", text)


def find_conflicts(files: Iterable[RouteFile]) -> Iterator[RouteProblem]:
    """Yield each conflict between two files once. The result does not depend on the order of `files`."""
    by_url: dict[object, RouteFile] = {}
    by_position: dict[object, tuple[Segment, RouteFile]] = {}
    reported: set[object] = set()
    for file in sorted(files, key=lambda file: (precedence(file.segments), str(file.path))):
        for index, segment in enumerate(file.segments):
            position = (precedence(file.segments[:index]), _exclusive(segment))
            first, other = by_position.setdefault(position, (segment, file))
            if first != segment and (position, segment) not in reported:
                reported.add((position, segment))
                yield _segment_conflict(file, other, index, first)
        for segments in expand(file.segments):
            other = by_url.setdefault(precedence(segments), file)
            # Two names of one parameter were reported above.
            renamed = len(file.segments) == len(other.segments) and file.segments != other.segments
            if other.path != file.path and not renamed:
                yield _url_conflict(file, other)


def _exclusive(segment: Segment) -> object:
    """Return a key. Segments of one folder that have the same key must be equal."""
    if segment.kind == Kind.STATIC:
        return segment.text.casefold()
    return Kind.CATCH_ALL if segment.kind >= Kind.CATCH_ALL else segment.precedence


def _segment_conflict(file: RouteFile, other: RouteFile, index: int, first: Segment) -> RouteProblem:
    segment, there = file.segments[index], f"{first.pattern} in {display_path(other.path)}"
    is_name = index == len(file.segments) - 1 and file.path.stem == segment.pattern
    rename = f"it to {first.pattern}.py" if is_name else f"the folder {segment.pattern} to {first.pattern}"
    if segment.kind == Kind.STATIC:
        code, text = "case-only", f"differs from {there} only by case. Rename {rename}."
    elif first.kind != segment.kind:
        code = "catch-all-beside-optional"
        text = f"matches the same URLs as {there}. Keep one of the two files."
    else:
        code = "catch-all-twice" if segment.kind >= Kind.CATCH_ALL else "parameter-name"
        text = f"is at the same position as {there}. Use one name: rename {rename}, or move one file."
    return file.problem(code, f"{segment.pattern} {text}", other.path)


def _url_conflict(file: RouteFile, other: RouteFile) -> RouteProblem:
    if len(file.segments) == len(other.segments):
        text = f"has the same URL as {display_path(other.path)}. Keep one of the two files."
        return file.problem("duplicate-url", text, other.path)
    index, optional = sorted((file, other), key=lambda file: len(file.segments))
    text = f"also matches {index.url}, the URL of {display_path(index.path)}. "
    text += f"Rename it to [...{optional.segments[-1].text}].py, or delete the other file."
    return optional.problem("optional-beside-index", text, index.path)
