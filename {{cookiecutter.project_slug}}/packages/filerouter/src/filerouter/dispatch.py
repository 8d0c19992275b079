"""Find the routes of a request with a trie: the cost does not depend on the number of routes."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Generic, TypeVar

from fastapi import APIRouter
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.routing import BaseRoute, Match, Route, WebSocketRoute, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from filerouter.routes import Endpoint, with_routes
from filerouter.segments import Kind, Segments

Resolver = Callable[[str, Scope], APIRouter | None]
Value = TypeVar("Value")

_SIMPLE_ROUTES = (Route, WebSocketRoute, APIRoute, APIWebSocketRoute)


class Trie(Generic[Value]):
    """A node of the trie. Paths are found as by a linear search in the order of precedence."""

    def __init__(self) -> None:
        self.value: Value | None = None
        self.catch_all: Value | None = None
        self.static: dict[str, Trie[Value]] = {}
        self.mixed: dict[str, tuple[re.Pattern[str], Trie[Value]]] = {}
        self.param: Trie[Value] | None = None

    def add(self, segments: Segments, value: Value) -> None:
        """Add a path. Add paths in the order of precedence."""
        node = self
        for segment in segments:
            if segment.kind == Kind.STATIC:
                node = node.static.setdefault(segment.text, Trie())
            elif segment.kind == Kind.MIXED:
                pattern = compile_path(f"/{segment.text}")[0]
                node = node.mixed.setdefault(segment.text, (pattern, Trie()))[1]
            elif segment.kind == Kind.PARAM:
                node.param = node = node.param or Trie()
            else:
                node.catch_all = value
                return
        node.value = value

    def find(self, parts: Sequence[str], at: int = 0) -> Value | None:
        """Return the value of the path that matches `parts` from index `at` on."""
        if at == len(parts):
            return self.value
        part = parts[at]
        if not part:
            return None
        for node in self._children(part):
            if (value := node.find(parts, at + 1)) is not None:
                return value
        return None if any(rest in ("", ".", "..") for rest in parts[at:]) else self.catch_all

    def _children(self, part: str) -> "Iterator[Trie[Value]]":
        if node := self.static.get(part):
            yield node
        for pattern, node in self.mixed.values():
            if pattern.fullmatch(f"/{part}"):
                yield node
        if self.param:
            yield self.param


@dataclass(eq=False)
class MountedTree:
    """A tree of one application. `before_request` may return a response that replaces those of the tree."""

    prefix: str
    guard: Callable[..., Any] | None
    before_request: Callable[[], ASGIApp | None] | None
    endpoints: list[Endpoint] = field(default_factory=list)

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes of all endpoints, in the order in which they are tried."""
        return [route for endpoint in self.endpoints for route in endpoint.router.routes]

    def resolver(self) -> Resolver:
        """Return a function that returns the router of a path's endpoint."""
        static: dict[str, APIRouter] = {}
        trie, prefix = Trie[APIRouter](), self.prefix
        for endpoint in self.endpoints:
            file, router = endpoint.file, endpoint.router
            trie.add(file.segments, router)
            if all(segment.kind == Kind.STATIC for segment in file.segments):
                static[file.url] = router

        def resolve(path: str, scope: Scope) -> APIRouter | None:
            if router := static.get(path):
                return router
            if not path.startswith(prefix):
                return None
            below = path[len(prefix) :].removesuffix("/")
            if below[:1] not in ("", "/"):
                return None
            return trie.find(below[1:].split("/") if below else [])

        return resolve


class Dispatcher:
    """Replaces the linear search of the application's router, as its `middleware_stack`.

    It only leaves out routes that cannot match; the router itself handles those that remain. The order of
    `router.routes` applies to all of them, including routes before, between and after trees.
    """

    def __init__(self, router: APIRouter) -> None:
        self._router = router
        self.trees: list[MountedTree] = []
        self.index()

    @classmethod
    def of(cls, router: APIRouter) -> "Dispatcher":
        """Return the router's dispatcher. Install one if it has none."""
        if not isinstance(router.middleware_stack, cls):
            router.middleware_stack = cls(router)
        return router.middleware_stack

    def index(self) -> None:
        """Read `router.routes` again."""
        routes = self._router.routes
        owners = {id(route): tree for tree in self.trees for route in tree.routes}
        groups = [(tree, list(group)) for tree, group in groupby(routes, lambda route: owners.get(id(route)))]
        if groups and groups[-1][0] is None:
            groups.pop()  # without a tree after them, they are searched when nothing else has matched
        self._resolvers = [tree.resolver() if tree else self._searcher(group) for tree, group in groups]
        self._other_routes = [route for route in routes if id(route) not in owners]
        self._route_count = len(routes)

    def _searcher(self, routes: list[BaseRoute]) -> Resolver:
        """Return a resolver for routes before a tree. If one may match, all routes are searched in order."""
        paths: set[str] = set()
        others: list[BaseRoute] = []
        for route in routes:
            if type(route) in _SIMPLE_ROUTES and not route.param_convertors:  # type: ignore[attr-defined]
                paths.add(route.path)  # type: ignore[attr-defined]
            else:
                others.append(route)

        def search(path: str, scope: Scope) -> APIRouter | None:
            # Their regular expressions end in `$`, which also matches before a final line feed.
            if path.removesuffix("\n") in paths or any(r.matches(scope)[0] is not Match.NONE for r in others):
                return self._router
            return None

        return search

    def _resolve(self, path: str, scope: Scope) -> APIRouter:
        for resolver in self._resolvers:
            if router := resolver(path, scope):
                return router
        return with_routes(self._router, self._other_routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._router.app(scope, receive, send)
        path, root = scope["path"], scope.get("root_path", "")
        if root and path.startswith(root) and path[len(root) :][:1] in ("", "/"):
            path = path[len(root) :]
        for tree in self.trees:
            response = tree.before_request and tree.before_request()
            if response and f"{path}/".startswith(f"{tree.prefix}/"):
                return await response(scope, receive, send)
        if self._route_count != len(self._router.routes):
            self.index()
        scope.setdefault("router", self._router)
        return await self._resolve(path, scope).app(scope, receive, send)
