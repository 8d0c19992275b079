"""Mount a folder of route files on an application, and reload it in development."""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Scope
from starlette.websockets import WebSocketClose

from filerouter.config import RouteConfig, UnknownSetting
from filerouter.dispatch import Dispatcher, MountedTree
from filerouter.errors import RouteProblem, RouteTreeError
from filerouter.handlers import find_router
from filerouter.importer import TreePackage, user_traceback
from filerouter.routes import FileRoutes, with_routes
from filerouter.scanner import RouteFile, check_segments, find_conflicts, find_route_files
from filerouter.segments import precedence


class FileRouter:
    """Every Python file below `root` is an endpoint below `prefix`.

    `guard` is a dependency of every route whose config does not have `public=True`.
    """

    def __init__(
        self, root: str | Path, *, prefix: str = "", guard: Callable[..., Any] | None = None
    ) -> None:
        if prefix and (not prefix.startswith("/") or prefix.endswith("/") or "{" in prefix):
            raise ValueError(f"prefix {prefix!r} must have the form '/api', without parameters")
        self.root = Path(root).absolute()
        self.prefix = prefix
        self.guard = guard
        self.files: list[RouteFile] = []
        self._built: dict[Path, FileRoutes] = {}
        self._package = TreePackage(self.root)

    def mount(self, app: FastAPI, *, reload: bool = False) -> None:
        """Register the tree on the application. Raises RouteTreeError with all problems.

        With `reload`, each request checks the tree first, and changed files are imported again.
        """
        self._app, self._built, self._report = app, {}, ""
        self._tree = MountedTree(self.prefix, self.guard, self._reload if reload else None)
        self._dispatcher = Dispatcher.of(app.router)
        self._dispatcher.trees.append(self._tree)
        app.router.redirect_slashes = False
        self.refresh()

    def refresh(self) -> None:
        """Read the tree again and replace its routes.

        Raises RouteTreeError, and keeps the present routes, if the tree has problems.
        """
        files, problems = find_route_files(self.root, self.prefix)
        self._package.forget_changed()
        modules = self._import(files, problems)
        built: dict[Path, FileRoutes] = {}
        for file in files:
            if all(path in modules for path in file.sources):
                built[file.path] = self._build(file, modules)
                problems += built[file.path].problems
        problems += self._find_conflicts(built, problems)
        if problems:
            raise RouteTreeError(problems)
        self._replace_routes(built)

    def _import(self, files: list[RouteFile], problems: list[RouteProblem]) -> dict[Path, ModuleType]:
        """Return the modules that can be imported and whose `config` is valid. Adds to `problems`."""
        modules: dict[Path, ModuleType] = {}
        by_path = {file.path: file for file in files}
        for path in dict.fromkeys(path for file in files for path in file.sources):
            code = "unknown-setting"
            try:
                module = self._package.import_file(path)
                config = getattr(module, "config", None)
                if isinstance(config, RouteConfig) or (config is None and path in by_path):
                    modules[path] = module
                    continue
                missing = "has no config. Write config = RouteConfig(…), or delete the file."
                wrong = "config is not a RouteConfig. Write config = RouteConfig(…), or rename it to _config."
                text = missing if config is None else wrong
            except UnknownSetting as error:
                text = str(error)
            except (Exception, SystemExit) as error:
                code, text = "import-failed", f"import failed.\n{indent(user_traceback(error), '    ')}"
            file = by_path.get(path)
            problems.append(file.problem(code, text) if file else RouteProblem.at(path, code, text))
        return modules

    def _build(self, file: RouteFile, modules: dict[Path, ModuleType]) -> FileRoutes:
        """Return the routes of a file: the present ones, if neither the file nor its config has changed."""
        module, config = modules[file.path], RouteConfig()
        for path in file.sources:
            config |= getattr(modules[path], "config", RouteConfig())
        last = self._built.get(file.path)
        if last and last.module is module and last.config == config and last.file.segments == file.segments:
            return last
        return FileRoutes(with_routes(self._app.router, []), file, module, config, self.guard).build()

    def _find_conflicts(
        self, built: dict[Path, FileRoutes], known: list[RouteProblem]
    ) -> Iterator[RouteProblem]:
        """Yield conflicts that the scan cannot see: of the URLs in routers, and of operation ids."""
        files = [routes.file for routes in built.values()]
        with_router = [routes for routes in built.values() if find_router(routes.module)]
        from_routers = [endpoint.file for routes in with_router for endpoint in routes.endpoints]
        for file in from_routers:
            yield from check_segments(file)
        yield from (problem for problem in find_conflicts([*files, *from_routers]) if problem not in known)
        owners: dict[str, list[RouteFile]] = defaultdict(list)
        for endpoint in (endpoint for routes in built.values() for endpoint in routes.endpoints):
            for route in endpoint.operations:
                if isinstance(route, APIRoute):
                    owners[route.operation_id or ""].append(endpoint.file)
        for operation_id, files in owners.items():
            if len(files) > 1 and not any({f.path for f in files} <= {*problem.files} for problem in known):
                other, file = files[:2]
                text = f"{operation_id} is also the operation id of {other.location}. "
                text += 'Set another one: @operation(operation_id="…").'
                yield file.problem("duplicate-operation-id", text, other.path)

    def _replace_routes(self, built: dict[Path, FileRoutes]) -> None:
        """Put the new routes where the old ones were."""
        router, tree = self._app.router, self._tree
        old = {id(route) for route in tree.routes}
        endpoints = [endpoint for routes in built.values() for endpoint in routes.endpoints]
        tree.replace_endpoints(sorted(endpoints, key=lambda endpoint: precedence(endpoint.file.segments)))
        kept = [route for route in router.routes if id(route) not in old]
        at = next((i for i, route in enumerate(router.routes) if id(route) in old), len(kept))
        router.routes[:] = kept[:at] + tree.routes + kept[at:]
        self._app.openapi_schema = None
        self._built, self.files = built, [routes.file for routes in built.values()]
        self._dispatcher.index()

    def _reload(self, scope: Scope) -> ASGIApp | None:
        """Read the tree again if it has changed. Returns a response with the report while it has problems."""
        # A broken tree is read at each request, because the cause may be a file outside the tree.
        if self._report or self._package.has_changed():
            try:
                self.refresh()
                self._report = ""
            except RouteTreeError as error:
                if str(error) != self._report:
                    print(error, file=sys.stderr, flush=True)  # noqa: T201
                self._report = str(error)
        if not self._report:
            return None
        if scope["type"] == "websocket":
            return WebSocketClose(1011)
        # A problem document (RFC 9457).
        body = {"type": "about:blank", "title": "Broken route tree", "status": 500, "detail": self._report}
        return JSONResponse(body, 500, media_type="application/problem+json")
