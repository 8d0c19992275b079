"""Route files as modules under their natural dotted names: `app.api.products.[id]`.

Python imports such names by itself, but for three: `...` would be split at its dots (it is written `*`),
so would a dot inside a static segment (`%2E`), and `users.py` hides the folder `users/` beside it.
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

_HERE = str(Path(__file__).parent)


class _Finder(MetaPathFinder):
    """Finds the modules of all trees. First on `sys.meta_path`, it knows no other name."""

    roots: dict[str, Path] = {}  # noqa: RUF012

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for package, root in self.roots.items():
            if fullname == package or fullname.startswith(f"{package}."):
                below = fullname[len(package) + 1 :].split(".") if fullname != package else []
                return _spec(fullname, root.joinpath(*(_decoded(part) for part in below)))
        return None


class _FileBesideFolder(SourceFileLoader):
    """Loads `users.py` so that `users/[id].py` can be imported below it."""

    def exec_module(self, module: ModuleType) -> None:
        module.__path__ = [str(Path(self.path).with_suffix(""))]
        super().exec_module(module)


def _spec(name: str, place: Path) -> ModuleSpec | None:
    file, is_folder = place.with_name(f"{place.name}.py"), place.is_dir()
    if file.is_file():
        loader = _FileBesideFolder(name, str(file)) if is_folder else None
        return spec_from_file_location(name, file, loader=loader)
    if (place / "__init__.py").is_file():
        return spec_from_file_location(name, place / "__init__.py", submodule_search_locations=[str(place)])
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(place)]
    return spec if is_folder else None


def _encoded(segment: str) -> str:
    segment = segment.replace("[...", "[*")
    return segment[:1] + segment[1:].replace(".", "%2E")


def _decoded(segment: str) -> str:
    segment = segment.replace("[*", "[...")
    return segment[:1] + segment[1:].replace("%2E", ".")


def install(root: Path) -> str:
    """Make the tree importable, in this process, from now on. Gives the package's name."""
    parts, parent = [root.name], root.parent
    while (parent / "__init__.py").exists():
        parts.insert(0, parent.name)
        parent = parent.parent
    package = ".".join(parts)
    if _Finder.roots.setdefault(package, root) != root:
        raise ImportError(f"{_Finder.roots[package]} already is the package {package}")
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    return package


def module_name(package: str, root: Path, file: Path) -> str:
    """The dotted name of a file of the tree."""
    return ".".join([package, *map(_encoded, file.relative_to(root).with_suffix("").parts)])


def forget(name: str, file: Path) -> None:
    """Let the next import read the source. A compiled file is dated by the second: too coarse for an edit."""
    sys.modules.pop(name, None)
    Path(cache_from_source(str(file))).unlink(missing_ok=True)


def load(name: str) -> ModuleType:
    """The module, imported once."""
    return importlib.import_module(name)


def users_traceback(error: BaseException) -> str:
    """The traceback without the frames of the import system and of this package."""
    trace = traceback.TracebackException.from_exception(error)
    link: traceback.TracebackException | None = trace
    while link:
        ours = [f for f in link.stack if not f.filename.startswith((_HERE, "<frozen importlib"))]
        kept = [f for f in ours if f.filename != importlib.__file__]
        link.stack = traceback.StackSummary.from_list(kept)
        link = link.__cause__ or link.__context__
    return "".join(trace.format()).rstrip()
