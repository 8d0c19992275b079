"""The folder of route files as a part of an application."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from filerouter import conflicts
from filerouter.build import Build
from filerouter.config import RouteConfig, UnknownSetting
from filerouter.dispatch import Dispatch, Place, Tree, narrow
from filerouter.modules import Package, users_traceback
from filerouter.problems import Problem, RouteTreeError, shown
from filerouter.reload import Reload
from filerouter.scan import RouteFile, survey


class FileRouter:
    """Every Python file below `root` is an endpoint below `prefix`.

    `guard` is a dependency that every route needs unless its config says `public=True`.
    """

    def __init__(
        self, root: str | Path, *, prefix: str = "", guard: Callable[..., Any] | None = None
    ) -> None:
        if prefix and (not prefix.startswith("/") or prefix.endswith("/") or "{" in prefix):
            raise ValueError(f"prefix {prefix!r}: write it as '/api', without parameters")
        self.root = Path(root).absolute()
        self.prefix = prefix
        self.guard = guard
        self.files: list[RouteFile] = []
        self._builds: dict[Path, Build] = {}
        self._package = Package(self.root)

    def mount(self, app: FastAPI, *, reload: bool = False) -> None:
        """Register the tree on the application. Raises RouteTreeError with all problems.

        With `reload` the tree is looked at before each request, and what has changed is read again.
        """
        self._app, self._builds = app, {}
        watch = Reload(self._package.has_changed, self.refresh) if reload else None
        self._tree = Tree(self.prefix, self.guard, watch)
        self._dispatch = Dispatch.of(app.router)
        self._dispatch.trees.append(self._tree)
        app.router.redirect_slashes = False
        self.refresh()

    def refresh(self) -> None:
        """Read the tree again and swap the table, or raise RouteTreeError and leave it as it was."""
        files, problems = survey(self.root, self.prefix)
        self._package.forget_changed()
        modules = self._load(files, problems)
        builds: dict[Path, Build] = {}
        for file in files:
            if all(path in modules for path in (*file.folders, file.path)):
                builds[file.path] = build = self._build(file, modules)
                problems += build.problems
        problems += self._clashes(builds, problems)
        if problems:
            raise RouteTreeError(problems)
        self._swap(files, builds)

    def _load(self, files: list[RouteFile], problems: list[Problem]) -> dict[Path, ModuleType]:
        """All modules that can be imported, and their settings have the right form."""
        modules: dict[Path, ModuleType] = {}
        where = {file.path: file.where for file in files}
        for path in dict.fromkeys(path for file in files for path in (*file.folders, file.path)):
            code = "import-failed"
            try:
                module = self._package.load(path)
                config = getattr(module, "config", None)
                if isinstance(config, RouteConfig) or (config is None and path.name != "_folder.py"):
                    modules[path] = module
                    continue
                code, text = (
                    "unknown-setting",
                    "config is no RouteConfig. Write config = RouteConfig(…), or rename it to _config.",
                )
                if config is None:
                    text = "sets nothing. Write config = RouteConfig(…), or delete it."
            except UnknownSetting as error:
                code, text = "unknown-setting", str(error)
            except (Exception, SystemExit) as error:
                text = "could not be imported.\n" + indent(users_traceback(error), "    ")
            problems.append(Problem(code, (path,), f"{where.get(path, shown(path))}: {text}"))
        return modules

    def _build(self, file: RouteFile, modules: dict[Path, ModuleType]) -> Build:
        """The routes of a file: those of last time, if nothing about it has changed."""
        module, config = modules[file.path], RouteConfig()
        for path in (*file.folders, file.path):
            config |= getattr(modules[path], "config", RouteConfig())
        last = self._builds.get(file.path)
        if last and last.module is module and last.config == config and last.file.segments == file.segments:
            return last
        return Build(narrow(self._app.router, []), file, module, config, self.guard).run()

    def _clashes(self, builds: dict[Path, Build], known: list[Problem]) -> Iterator[Problem]:
        """What is only seen when all files are read: paths of their own routers, and operation ids."""
        claims = [conflicts.Claim(b.file.segments, path) for path, b in builds.items()]
        own = [conflicts.Claim(p, path) for path, b in builds.items() if b.has_router for p in b.places]
        yield from (problem for claim in own for problem in conflicts.alone(claim, self.prefix))
        yield from (p for p in conflicts.find([*claims, *own], self.prefix) if p not in known)
        ids: dict[str, list[Path]] = defaultdict(list)
        for path, build in builds.items():
            for route in (r for routes in build.places.values() for r in routes if isinstance(r, APIRoute)):
                ids[route.operation_id or ""].append(path)
        for name, paths in ids.items():
            if len(paths) > 1 and not any({*paths} <= {*problem.files} for problem in known):
                there, where = (builds[path].file.where for path in paths[:2])
                text = f"{where}: same operation id as {there}: {name}. "
                text += 'Give one of the handlers another: @operation(operation_id="…").'
                yield Problem("duplicate-operation-id", (paths[1], paths[0]), text)

    def _swap(self, files: list[RouteFile], builds: dict[Path, Build]) -> None:
        """Put the new routes where the old ones were."""
        router, old = self._app.router, {id(r) for place in self._tree.places for r in place.routes}
        table = sorted(
            ((segments, path, routes) for path, b in builds.items() for segments, routes in b.places.items()),
            key=lambda place: [segment.slot for segment in place[0]],
        )
        new: list[BaseRoute] = [route for *_, routes in table for route in routes]
        kept = [route for route in router.routes if id(route) not in old]
        at = next((i for i, route in enumerate(router.routes) if id(route) in old), len(kept))
        router.routes[:] = kept[:at] + new + kept[at:]
        self._app.openapi_schema = None
        self._tree.places = [Place(*place, narrow(router, place[-1])) for place in table]
        self._builds, self.files = builds, files
        for file in files:
            file.methods = builds[file.path].methods
        self._dispatch.index()
