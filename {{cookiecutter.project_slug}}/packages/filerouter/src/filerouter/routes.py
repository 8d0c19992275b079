"""Make the FastAPI routes of a route file, and the fallback route that ends each URL."""

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute, APIWebSocketRoute, RouteContext, iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from filerouter.config import OPERATION_OPTIONS, RouteConfig, operation_options
from filerouter.errors import RouteProblem
from filerouter.handlers import check_module, check_parameters, find_handlers, find_router, iter_dependants
from filerouter.scanner import RouteFile
from filerouter.segments import Kind, Segment, Segments, expand, url_path

# Convertors that cannot match a slash.
_SAFE_CONVERTORS = {"str", "int", "float", "uuid"}

# Settings that the level nearest to the handler decides, with the value by which FastAPI means "not set".
_SCALARS = {"deprecated": None, "include_in_schema": True, "max_body_size": None}


def with_routes(router: APIRouter, routes: list[BaseRoute]) -> APIRouter:
    """Return a router with the same settings that has only these routes."""
    router = copy.copy(router)
    router.routes = routes
    return router


class Fallback(Route):
    """Ends the routes of one URL: it matches every method, and websockets.

    HEAD runs the file's `get`, OPTIONS is 204, other methods are 405, and a trailing slash is 308. Errors are
    raised as HTTPException, so that the application's exception handlers format them.
    """

    def __init__(self, path: str, routes: Sequence[APIRoute]) -> None:
        # The endpoint is a class because Starlette would restrict a function to GET.
        super().__init__(path, Fallback, name="", include_in_schema=False)
        self.app = self._respond
        self.path_regex = match_whole_path(self.path_regex, "" if path == "/" else "/?")
        self.file_methods = {method for route in routes for method in methods_of(route)}
        self._get = next((route for route in routes if "GET" in methods_of(route)), None)
        automatic = {"OPTIONS", "HEAD"} if self._get else {"OPTIONS"}
        self.allow = ", ".join(sorted(self.file_methods | automatic)) if routes else ""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match like a Route, but websockets too: no later file may handle a websocket of this URL."""
        return super().matches({**scope, "type": "http"} if scope["type"] == "websocket" else scope)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await WebSocketClose()(scope, receive, send)
        if scope["path"].endswith("/") and self.path != "/":
            raise HTTPException(308, headers={"Location": _without_trailing_slash(scope)})
        if not self.allow:
            raise HTTPException(404)
        if scope["method"] == "HEAD" and self._get:
            scope.update(route=self._get, endpoint=self._get.endpoint)
            return await _send_headers_only(self._get, scope, receive, send)
        status = 204 if scope["method"] == "OPTIONS" else 405
        raise HTTPException(status, headers={"Allow": self.allow})


def methods_of(route: APIRoute | APIWebSocketRoute) -> list[str]:
    """Return the HTTP methods of a route in alphabetical order, or WEBSOCKET."""
    return sorted(route.methods or ()) if isinstance(route, APIRoute) else ["WEBSOCKET"]


def match_whole_path(pattern: re.Pattern[str], suffix: str = "") -> re.Pattern[str]:
    """Return the pattern without its `$`, which would also match before a final line feed."""
    return re.compile(pattern.pattern.removesuffix("$") + suffix + r"\Z")


def _without_trailing_slash(scope: Scope) -> str:
    """Return path and query, without the host. It begins with one slash: two would begin a host name."""
    path, root = scope["path"], scope.get("root_path", "")
    if root and not path.startswith(root):
        path = root + path
    query = scope["query_string"].decode("latin-1")
    location = "/" + quote(path.strip("/"), safe="/:@!$&'()*+,;=~", errors="replace")
    return f"{location}?{query}" if query else location


async def _send_headers_only(route: APIRoute, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the handler, send its headers, and stop a streaming response, which might never end."""
    finished = False

    async def send_headers(message: Message) -> None:
        nonlocal finished
        if message["type"] == "http.response.start":
            await send(message)
        elif not finished:
            finished = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def receive_until_finished() -> Message:
        return {"type": "http.disconnect"} if finished else await receive()

    # With ASGI before 2.4, Starlette ends a streaming response as soon as `receive` reports a disconnect.
    scope["asgi"] = {**scope.get("asgi", {}), "spec_version": "2.3"}
    await route.app(scope, receive_until_finished, send_headers)


@dataclass
class Endpoint:
    """One URL and its routes, a Fallback last.

    `file` has the segments of this URL. `router` is the application's, but has only these routes.
    """

    file: RouteFile
    router: APIRouter
    fallback: Fallback

    @property
    def operations(self) -> list[APIRoute | APIWebSocketRoute]:
        """The routes that run a handler."""
        return [route for route in self.router.routes if isinstance(route, APIRoute | APIWebSocketRoute)]


@dataclass
class FileRoutes:
    """The routes of one file. `router` is a copy of the application's router; its settings apply to them."""

    router: APIRouter
    file: RouteFile
    module: ModuleType
    config: RouteConfig
    guard: Callable[..., Any] | None
    endpoints: list[Endpoint] = field(default_factory=list)
    problems: list[RouteProblem] = field(default_factory=list)
    _routes: dict[Segments, list[BaseRoute]] = field(default_factory=dict)

    def build(self) -> "FileRoutes":
        """Fill `endpoints` and `file.methods`, or `problems` if the file has any."""
        self.problems += check_module(self.module, self.file)
        if self.problems:
            return self
        if router := find_router(self.module):
            for context in iter_route_contexts(router.routes):
                self._add_from_router(context)
        for name, handler in find_handlers(self.module).items():
            for segments in expand(self.file.segments):
                self._add(segments, name, handler, dict(operation_options(handler)))
        for segments, routes in self._routes.items():
            http = [route for route in routes if isinstance(route, APIRoute)]
            fallback = Fallback(url_path(segments, self.file.prefix), http)
            router = with_routes(self.router, [*routes, fallback])
            self.endpoints.append(Endpoint(replace(self.file, segments=segments), router, fallback))
        operations = [route for endpoint in self.endpoints for route in endpoint.operations]
        self.file.methods = tuple(sorted({method for route in operations for method in methods_of(route)}))
        return self

    def _add_from_router(self, context: RouteContext) -> None:
        """Add a route of the file's own APIRouter, below the file's URL."""
        segments = (*self.file.segments, *_parse_path(context.path or ""))
        route = context.original_route
        if not isinstance(route, APIRoute | APIWebSocketRoute):
            text = f"router has a {type(route).__name__} at {context.path}. Add it to the application."
            return self.problems.append(self.file.problem("router-route", text))
        if not _SAFE_CONVERTORS.issuperset(re.findall(r":(\w+)}", "".join(s.text for s in segments))):
            text = f"{context.path} can match a slash within a segment. Use int, float or uuid."
            return self.problems.append(self.file.problem("bad-segment", text))
        name, options = "websocket", {"dependencies": context.dependencies, "name": context.name}
        if isinstance(route, APIRoute):
            options = {name: getattr(context, name) for name in OPERATION_OPTIONS if hasattr(context, name)}
            for scalar, unset in _SCALARS.items():
                if options.get(scalar) == unset:
                    options.pop(scalar, None)
            options["route_class_override"] = type(route)
            options["methods"] = sorted(context.methods or ())
            name = options["methods"][0].lower()
            if context.stream_item_type:
                del options["response_model"]  # FastAPI derives the type of the items from the annotation
        if context.endpoint and options["name"] == getattr(context.endpoint, "__name__", None):
            del options["name"]
        return self._add(segments, name, context.endpoint, options)

    def _add(self, segments: Segments, name: str, handler: Any, options: dict[str, Any]) -> None:
        """Register the handler on `self.router`, and take the new route from it."""
        file = replace(self.file, segments=segments)
        guards = [Depends(self.guard)] if self.guard and not self.config.public else []
        options["dependencies"] = [*guards, *self.config.dependencies, *(options.get("dependencies") or ())]
        below = (s.pattern for s in segments[len(self.file.segments) :])
        options.setdefault("name", ".".join([self.file.name, *below]))
        try:
            if name == "websocket":
                self.router.add_api_websocket_route(file.url, handler, **options)
            else:
                self.router.add_api_route(file.url, handler, **self._http_options(segments, name, options))
        except Exception as error:
            reason = str(error).partition("\n")[0]
            return self.problems.append(file.problem("bad-handler", f"FastAPI rejected {name}(): {reason}."))
        route = self.router.routes.pop()
        assert isinstance(route, APIRoute | APIWebSocketRoute)
        self._check(route, name, file)
        route.path_regex = match_whole_path(route.path_regex)
        if isinstance(route, APIRoute):
            _set_summary(route)
        return self._routes.setdefault(segments, []).append(route)

    def _http_options(self, segments: Segments, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of `add_api_route`. The operation's options override the config."""
        config = self.config
        merged = {"methods": [name.upper()], **options}
        for scalar in _SCALARS:
            if getattr(config, scalar) is not None:
                merged.setdefault(scalar, getattr(config, scalar))
        first = next((s.text for s in segments if s.kind == Kind.STATIC), None)
        merged["tags"] = [*config.tags, *(options.get("tags") or ())] or ([first] if first else [])
        merged["responses"] = {**config.responses, **(options.get("responses") or {})}
        merged["operation_id"] = options.get("operation_id") or _operation_id(name, segments)
        return merged

    def _check(self, route: APIRoute | APIWebSocketRoute, name: str, file: RouteFile) -> None:
        """Check the parameters, after removing an optional catch-all that the URL does not contain."""
        if len(file.segments) < len(self.file.segments):
            catch_all = self.file.segments[-1].text
            for part in iter_dependants(route.dependant):
                for parameter in part.query_params + part.path_params:
                    if parameter.alias == catch_all and parameter.field_info.is_required():
                        text = f"{name}() needs a default for {catch_all}, which this URL does not contain."
                        self.problems.append(file.problem("no-default", text))
                # FastAPI would read it from the query.
                part.query_params = [field for field in part.query_params if field.alias != catch_all]
                part.path_params = [field for field in part.path_params if field.alias != catch_all]
        self.problems += check_parameters(route.dependant, name, file)


def _parse_path(path: str) -> Iterator[Segment]:
    """Yield the segments of a path in Starlette's notation."""
    for part in filter(None, path.split("/")):
        if match := re.fullmatch(r"{(\w+)(:str|:path|:rest)?}", part):
            yield Segment(Kind.CATCH_ALL if match[2] in (":path", ":rest") else Kind.PARAM, match[1])
        else:
            yield Segment(Kind.MIXED if "{" in part else Kind.STATIC, part)


def _operation_id(name: str, segments: Segments) -> str:
    """Return an id such as `get_products_by_id`. It depends on method and URL only, so it is stable."""
    words = [s.text if s.kind < Kind.PARAM else f"by_{s.text}" for s in segments] or ["root"]
    return re.sub(r"\W+", "_", "_".join([name, *words])).rstrip("_")


def _set_summary(route: APIRoute) -> None:
    """Use the first line of the docstring as the summary, and the rest as the description."""
    if route.summary is None:
        first, _, rest = route.description.partition("\n")
        route.summary = first.rstrip(".") or (route.operation_id or "").replace("_", " ").capitalize()
        route.description = rest.strip()
