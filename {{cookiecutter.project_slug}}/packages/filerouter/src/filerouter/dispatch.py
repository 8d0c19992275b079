"""Find the routes of a request with a trie: the cost does not depend on the number of routes."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Generic, TypeVar

from fastapi import APIRouter
from starlette.routing import BaseRoute, Match, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from filerouter.routes import Endpoint, with_routes
from filerouter.segments import Kind, Segments

Value = TypeVar("Value")


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
    before_request: Callable[[Scope], ASGIApp | None] | None
    endpoints: list[Endpoint] = field(default_factory=list)
    _trie: Trie[APIRouter] = field(default_factory=Trie)

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes of all endpoints, in the order in which they are tried."""
        return [route for endpoint in self.endpoints for route in endpoint.router.routes]

    def replace_endpoints(self, endpoints: list[Endpoint]) -> None:
        """Replace the endpoints by others, which must be in the order of precedence."""
        self.endpoints, self._trie = endpoints, Trie()
        for endpoint in endpoints:
            self._trie.add(endpoint.file.segments, endpoint.router)

    def find(self, path: str) -> APIRouter | None:
        """Return the router of the endpoint with this path."""
        below = path.removeprefix(self.prefix).removesuffix("/")
        if not path.startswith(self.prefix) or below[:1] not in ("", "/"):
            return None
        return self._trie.find(below[1:].split("/") if below else [])


def is_ambiguous(path: str, raw_path: bytes | None) -> bool:
    """Return whether a proxy may read this path differently: no file of a tree has such a URL.

    An encoded slash is data, never a separator (RFC 3986, section 2.2): `/api%2Fme` would pass a
    proxy's rule for `/api/me`. A decoded segment `.` or `..` stands for another path wherever it is
    used to build one (section 5.2.4).
    """
    if raw_path and b"%2" in raw_path and b"%2f" in raw_path.partition(b"?")[0].lower():
        return True
    return "/." in path and any(part in (".", "..") for part in path.split("/"))


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
        groups = groupby(routes, lambda route: owners.get(id(route)))
        self._groups = [(tree, list(group)) for tree, group in groups]
        if self._groups and self._groups[-1][0] is None:
            self._groups.pop()  # without a tree after them, they are searched when nothing else has matched
        self._other_routes = [route for route in routes if id(route) not in owners]
        self._route_count = len(routes)

    def _resolve(self, path: str, scope: Scope) -> APIRouter:
        if is_ambiguous(path, scope.get("raw_path")):
            return with_routes(self._router, self._other_routes)
        for tree, routes in self._groups:
            if tree:
                if router := tree.find(path):
                    return router
            # If one of the routes before a tree may match, all routes are searched in order.
            elif any(route.matches(scope)[0] is not Match.NONE for route in routes):
                return self._router
        return with_routes(self._router, self._other_routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._router.app(scope, receive, send)
        path, root = scope["path"], scope.get("root_path", "")
        if root and path.startswith(root) and path[len(root) :][:1] in ("", "/"):
            path = path[len(root) :]
        for tree in self.trees:
            response = tree.before_request and tree.before_request(scope)
            if response and f"{path}/".startswith(f"{tree.prefix}/"):
                return await response(scope, receive, send)
        if self._route_count != len(self._router.routes):
            self.index()
        scope.setdefault("router", self._router)
        return await self._resolve(path, scope).app(scope, receive, send)
