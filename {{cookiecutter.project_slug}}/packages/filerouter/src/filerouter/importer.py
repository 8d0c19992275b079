"""Import route files as modules under their natural dotted names: `app.api.products.[id]`.

Python can import most of these names by itself. A finder is needed for dots, which would split the name
(`[...path]` is imported as `[*path]`, `robots.txt` as `robots%2Etxt`), and for a folder `users/` that a file
`users.py` beside it would hide.
"""

import importlib
import sys
import traceback
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import cache_from_source, spec_from_file_location
from pathlib import Path
from types import ModuleType

from filerouter.errors import RouteProblem, RouteTreeError

Fingerprint = tuple[int, int, int]  # modification time (ns), size, inode


class TreePackage:
    """The modules of one tree, and the state of its files when they were last imported."""

    def __init__(self, root: Path) -> None:
        parts, parent = [root.name], root.parent
        while (parent / "__init__.py").exists():
            parts.insert(0, parent.name)
            parent = parent.parent
        self.root, self.name = root, ".".join(parts)
        self._fingerprints: dict[Path, Fingerprint] = {}
        other = _TreeFinder.roots.setdefault(self.name, root)
        if other != root:
            text = f"{root}: {other} is already imported as {self.name}. "
            text += "Add an __init__.py to both parent folders."
            raise RouteTreeError([RouteProblem("package-taken", (root, other), text)])

    def module_name(self, file: Path) -> str:
        """Return the dotted name of a file of the tree."""
        return ".".join([self.name, *map(_encode, file.relative_to(self.root).with_suffix("").parts)])

    def import_file(self, file: Path) -> ModuleType:
        """Import the file, or return its module if that has been imported."""
        return importlib.import_module(self.module_name(file))

    def has_changed(self) -> bool:
        """Return whether files were edited, added, renamed or deleted since `forget_changed()`.

        Compares fingerprints; reads no file.
        """
        return self._fingerprints != _fingerprints(self.root)

    def forget_changed(self) -> None:
        """Remove changed modules, so that they are imported again; all modules if a private one changed."""
        old, self._fingerprints = self._fingerprints, _fingerprints(self.root)
        changed = {path for path, _ in old.items() ^ self._fingerprints.items()} if old else set()
        if any(path.name.startswith("_") for path in changed):
            changed = {*old, *self._fingerprints}
        for path in changed:
            sys.modules.pop(self.module_name(path), None)
            # Bytecode files store the source's time in whole seconds, which would miss a quick second edit.
            Path(cache_from_source(str(path))).unlink(missing_ok=True)


class _TreeFinder(MetaPathFinder):
    """Finds the modules of all trees. It comes first in `sys.meta_path` and ignores other modules."""

    roots: dict[str, Path] = {}  # noqa: RUF012

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for package, root in self.roots.items():
            if fullname == package:
                return _spec(fullname, root)
            if fullname.startswith(f"{package}."):
                return _spec(fullname, root.joinpath(*map(_decode, fullname[len(package) + 1 :].split("."))))
        return None


sys.meta_path.insert(0, _TreeFinder())


class _FileAndFolderLoader(SourceFileLoader):
    """Loads `users.py` as a package, so that `users/[id].py` can be imported below it, now or later."""

    def exec_module(self, module: ModuleType) -> None:
        module.__path__ = [self.path.removesuffix(".py")]
        super().exec_module(module)


def _spec(name: str, base: Path) -> ModuleSpec | None:
    file, init = base.with_name(f"{base.name}.py"), base / "__init__.py"
    if file.is_file():
        return spec_from_file_location(name, file, loader=_FileAndFolderLoader(name, str(file)))
    if init.is_file():
        return spec_from_file_location(name, init, submodule_search_locations=[str(base)])
    if not base.is_dir():
        return None
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(base)]
    return spec


def _encode(segment: str) -> str:
    segment = segment.replace("[...", "[*")
    return segment[:1] + segment[1:].replace(".", "%2E")


def _decode(segment: str) -> str:
    segment = segment.replace("[*", "[...")
    return segment[:1] + segment[1:].replace("%2E", ".")


def _fingerprints(folder: Path) -> dict[Path, Fingerprint]:
    stats = {path: path.lstat() for path in folder.rglob("*.py")}
    return {path: (stat.st_mtime_ns, stat.st_size, stat.st_ino) for path, stat in stats.items()}


def user_traceback(error: BaseException) -> str:
    """Return the traceback without the frames of the import system and of this package."""
    trace = traceback.TracebackException.from_exception(error)
    internal = (str(Path(__file__).parent), "<frozen importlib", importlib.__file__)
    part: traceback.TracebackException | None = trace
    while part:
        frames = [frame for frame in part.stack if not frame.filename.startswith(internal)]
        part.stack = traceback.StackSummary.from_list(frames)
        part = part.__cause__ or part.__context__
    return "".join(trace.format()).rstrip()
