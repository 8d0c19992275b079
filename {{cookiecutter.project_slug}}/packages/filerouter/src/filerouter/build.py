"""From a route file to the routes of FastAPI."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute, APIWebSocketRoute, RouteContext, iter_route_contexts
from starlette.routing import BaseRoute

from filerouter.config import OPTIONS, RouteConfig, options_of
from filerouter.conflicts import url
from filerouter.fallback import Fallback, whole
from filerouter.handlers import handlers_of, parameter_problems, problems_of, walk
from filerouter.problems import Problem
from filerouter.scan import RouteFile
from filerouter.segments import Kind, Segment

Shape = tuple[Segment, ...]

_CONVERTORS = {"str", "int", "float", "uuid"}

# The settings where the one nearest to the handler wins, and how plain FastAPI says "not set".
_SCALARS = {"deprecated": None, "include_in_schema": True, "max_body_size": None}


@dataclass
class Build:
    """The routes of one file, by place. `router` lends its settings and is given back as it was."""

    router: APIRouter
    file: RouteFile
    module: ModuleType
    config: RouteConfig
    guard: Callable[..., Any] | None
    places: dict[Shape, list[BaseRoute]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def has_router(self) -> bool:
        """Whether the file is a router of plain FastAPI."""
        return isinstance(getattr(self.module, "router", None), APIRouter)

    @property
    def methods(self) -> tuple[str, ...]:
        """What the file answers, as its author wrote it."""
        routes = [route for routes in self.places.values() for route in routes]
        methods = {
            method for route in routes if isinstance(route, APIRoute) for method in route.methods or ()
        }
        sockets = any(isinstance(route, APIWebSocketRoute) for route in routes)
        return (*sorted(methods), *(["WEBSOCKET"] if sockets else []))

    def run(self) -> "Build":
        """Register everything, or say why not."""
        self.problems += problems_of(self.module, self.file)
        if self.problems:
            return self
        if self.has_router:
            for context in iter_route_contexts(self.module.router.routes):
                self._from_router(context)
        for verb, handler in handlers_of(self.module).items():
            for segments in self._paths():
                self._add(segments, verb, handler, dict(options_of(handler)))
        for segments, routes in self.places.items():
            self._finish(segments, routes)
        return self

    def _paths(self) -> Iterator[Shape]:
        """Two for an optional catch-all: without and with it."""
        segments = self.file.segments
        if segments and segments[-1].kind == Kind.OPTIONAL:
            yield segments[:-1]
        yield segments

    def _from_router(self, context: RouteContext) -> None:
        """A route of the file's own APIRouter, made again in its place."""
        segments = (*self.file.segments, *_segments_of(context.path or ""))
        route, options = context.original_route, {}
        if not isinstance(route, APIRoute | APIWebSocketRoute):
            text = (
                f"router has a {type(route).__name__} at {context.path}. Give it to the application instead"
            )
            return self._problem("router-route", text)
        if not _CONVERTORS.issuperset(re.findall(r":(\w+)}", "".join(s.text for s in segments))):
            text = f"{context.path} may take a slash inside a segment. Use int, float or uuid"
            return self._problem("bad-segment", text)
        verb = "websocket"
        if isinstance(route, APIRoute):
            options = {name: getattr(context, name) for name in OPTIONS if hasattr(context, name)}
            for name, unset in _SCALARS.items():
                if options.get(name) == unset:
                    options.pop(name, None)
            options["route_class_override"] = type(route)
            options["methods"] = sorted(context.methods or ())
            verb = options["methods"][0].lower()
            if context.stream_item_type:
                del options["response_model"]  # read from the annotation again, as the type of the items
        else:
            options = {"dependencies": context.dependencies, "name": context.name}
        if context.endpoint and options["name"] == getattr(context.endpoint, "__name__", None):
            del options["name"]
        return self._add(segments, verb, context.endpoint, options)

    def _add(self, segments: Shape, verb: str, handler: Any, options: dict[str, Any]) -> None:
        guards = [Depends(self.guard)] if self.guard and not self.config.public else []
        options["dependencies"] = [*guards, *self.config.dependencies, *(options.get("dependencies") or ())]
        below = (s.pattern for s in segments[len(self.file.segments) :])
        options.setdefault("name", ".".join([self.file.name, *below]))
        path, before = url(segments, self.file.prefix), len(self.router.routes)
        try:
            if verb == "websocket":
                self.router.add_api_websocket_route(path, handler, **options)
            else:
                self.router.add_api_route(path, handler, **self._http_options(segments, verb, options))
        except Exception as error:
            text = f"{verb}() was refused by FastAPI: {str(error).partition(chr(10))[0]}"
            return self._problem("bad-handler", text)
        route = self.router.routes[before]
        del self.router.routes[before:]
        assert isinstance(route, APIRoute | APIWebSocketRoute)
        self._check(route, verb, segments, path)
        route.path_regex = whole(route.path_regex)
        if isinstance(route, APIRoute):
            _document(route)
        self.places.setdefault(segments, []).append(route)
        return None

    def _http_options(self, segments: Shape, verb: str, options: dict[str, Any]) -> dict[str, Any]:
        """The options of `add_api_route`: the config's, and the operation's over them."""
        config = self.config
        merged = {"methods": [verb.upper()], **options}
        for name in _SCALARS:
            if getattr(config, name) is not None:
                merged.setdefault(name, getattr(config, name))
        first = next((s.text for s in segments if s.kind == Kind.STATIC), None)
        merged["tags"] = [*config.tags, *(options.get("tags") or ())] or ([first] if first else [])
        merged["responses"] = {**config.responses, **(options.get("responses") or {})}
        merged["operation_id"] = options.get("operation_id") or _operation_id(verb, segments)
        return merged

    def _check(self, route: APIRoute | APIWebSocketRoute, verb: str, segments: Shape, path: str) -> None:
        """Parameters. Where the optional catch-all is absent, its name is no query parameter either."""
        last = self.file.segments[-1] if self.file.segments else None
        if last and last.kind == Kind.OPTIONAL and segments == self.file.segments[:-1]:
            for part in walk(route.dependant):
                for taken in part.query_params + part.path_params:
                    if taken.alias == last.text and taken.field_info.is_required():
                        self._problem(
                            "no-default", f"{verb}() needs a default for {last.text}: the URL may be {path}"
                        )
                part.query_params = [f for f in part.query_params if f.alias != last.text]
                part.path_params = [f for f in part.path_params if f.alias != last.text]
        self.problems += parameter_problems(route.dependant, verb, segments, path, self.file)

    def _finish(self, segments: Shape, routes: list[BaseRoute]) -> None:
        methods = sorted({m for r in routes if isinstance(r, APIRoute) for m in r.methods or ()})
        get = next((r for r in routes if isinstance(r, APIRoute) and "GET" in (r.methods or ())), None)
        routes.append(Fallback(url(segments, self.file.prefix), methods, get))

    def _problem(self, code: str, text: str) -> None:
        self.problems.append(Problem(code, (self.file.path,), f"{self.file.where}: {text}."))


def _segments_of(path: str) -> Iterator[Segment]:
    for part in filter(None, path.split("/")):
        if found := re.fullmatch(r"{(\w+)(:str|:path|:rest)?}", part):
            yield Segment(Kind.REST if found[2] in (":path", ":rest") else Kind.PARAM, found[1])
        else:
            yield Segment(Kind.MIXED if "{" in part else Kind.STATIC, part)


def _operation_id(verb: str, segments: Shape) -> str:
    """`get_products_by_id`: stable, for it names the URL and nothing else."""
    words = [s.text if s.kind < Kind.PARAM else f"by_{s.text}" for s in segments] or ["root"]
    return re.sub(r"\W+", "_", "_".join([verb, *words])).rstrip("_")


def _document(route: APIRoute) -> None:
    """The docstring's first line is the summary, the rest the description."""
    if route.summary is None:
        first, _, rest = route.description.partition("\n")
        route.summary = first.rstrip(".") or (route.operation_id or "").replace("_", " ").capitalize()
        route.description = rest.strip()
