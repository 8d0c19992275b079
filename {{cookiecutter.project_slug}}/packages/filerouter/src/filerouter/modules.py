"""Route files as modules under their natural dotted names: `app.api.products.[id]`.

Python imports such names by itself, but for three: `...` would be split at its dots (it is written `*`),
so would a dot inside a static segment (`%2E`), and `users.py` hides the folder `users/` beside it.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import cache_from_source, spec_from_file_location
from pathlib import Path
from types import ModuleType

from filerouter.problems import Problem, RouteTreeError

Stamp = tuple[int, int, int]


class Package:
    """The modules of one tree."""

    def __init__(self, root: Path) -> None:
        parts, parent = [root.name], root.parent
        while (parent / "__init__.py").exists():
            parts.insert(0, parent.name)
            parent = parent.parent
        self.root, self.name = root, ".".join(parts)
        self.stamps: dict[str, Stamp] = {}
        other = _Finder.roots.setdefault(self.name, root)
        if other != root:
            text = (
                f"{root}: {other} already is the package {self.name}. Put an __init__.py into their parents."
            )
            raise RouteTreeError([Problem("package-taken", (root, other), text)])

    def name_of(self, file: Path) -> str:
        """The dotted name of a file of the tree."""
        return ".".join([self.name, *map(_encoded, file.relative_to(self.root).with_suffix("").parts)])

    def load(self, file: Path) -> ModuleType:
        """The module, imported once."""
        return importlib.import_module(self.name_of(file))

    def has_changed(self) -> bool:
        """Whether a file was edited, added, renamed or deleted since `forget_changed`. Reads no contents."""
        return self.stamps != dict(_stamps(self.root))

    def forget_changed(self) -> None:
        """Let the next import read what has changed; if that is private to the folder, read everything."""
        old, self.stamps = self.stamps, dict(_stamps(self.root))
        changed = {Path(path) for path, _ in old.items() ^ self.stamps.items()} if old else set()
        if any(path.name.startswith("_") for path in changed):
            changed = {Path(path) for path in (*old, *self.stamps)}
        for path in changed:
            sys.modules.pop(self.name_of(path), None)
            # A compiled file is dated by the second, which is too coarse for an edit.
            Path(cache_from_source(str(path))).unlink(missing_ok=True)


class _Finder(MetaPathFinder):
    """Finds the modules of all trees. It is the first on `sys.meta_path`, and knows no other name."""

    roots: dict[str, Path] = {}  # noqa: RUF012

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for package, root in self.roots.items():
            if fullname == package or fullname.startswith(f"{package}."):
                parts = fullname[len(package) + 1 :].split(".") if fullname != package else []
                return _spec(fullname, root.joinpath(*map(_decoded, parts)))
        return None


sys.meta_path.insert(0, _Finder())


class _Loader(SourceFileLoader):
    """Loads `users.py` so that `users/[id].py` can be imported below it, now or later."""

    def exec_module(self, module: ModuleType) -> None:
        module.__path__ = [self.path.removesuffix(".py")]
        super().exec_module(module)


def _spec(name: str, place: Path) -> ModuleSpec | None:
    file, init = place.with_name(f"{place.name}.py"), place / "__init__.py"
    if file.is_file():
        return spec_from_file_location(name, file, loader=_Loader(name, str(file)))
    if init.is_file():
        return spec_from_file_location(name, init, submodule_search_locations=[str(place)])
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(place)]
    return spec if place.is_dir() else None


def _encoded(segment: str) -> str:
    segment = segment.replace("[...", "[*")
    return segment[:1] + segment[1:].replace(".", "%2E")


def _decoded(segment: str) -> str:
    segment = segment.replace("[*", "[...")
    return segment[:1] + segment[1:].replace("%2E", ".")


def _stamps(folder: Path | str) -> Iterator[tuple[str, Stamp]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _stamps(entry.path)
            elif entry.name.endswith(".py"):
                stat = entry.stat(follow_symlinks=False)
                yield entry.path, (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def users_traceback(error: BaseException) -> str:
    """The traceback without the frames of the import system and of this package."""
    trace = traceback.TracebackException.from_exception(error)
    engine = (str(Path(__file__).parent), "<frozen importlib", importlib.__file__)
    link: traceback.TracebackException | None = trace
    while link:
        link.stack = traceback.StackSummary.from_list(
            [frame for frame in link.stack if not frame.filename.startswith(engine)]
        )
        link = link.__cause__ or link.__context__
    return "".join(trace.format()).rstrip()
