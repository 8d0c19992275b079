"""Where FastAPI would try one route after the other, ask the trie."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.routing import BaseRoute, Match, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from filerouter import conflicts
from filerouter.fallback import Fallback
from filerouter.reload import Reload, answer_broken
from filerouter.segments import Kind, Segment
from filerouter.trie import Trie

Step = Callable[[str, Scope], APIRouter | None]
_EXACT = (Route, WebSocketRoute, APIRoute, APIWebSocketRoute)


def narrow(router: APIRouter, routes: list[BaseRoute]) -> APIRouter:
    """The same router with the same settings, knowing these routes only."""
    narrowed = copy.copy(router)
    narrowed.routes = routes
    return narrowed


@dataclass
class Place:
    """One path and all that answers there. `router` is the application's, knowing these routes only."""

    segments: tuple[Segment, ...]
    file: Path
    routes: Sequence[BaseRoute]
    router: APIRouter

    @property
    def fallback(self) -> Fallback:
        """The last of the routes."""
        assert isinstance(self.routes[-1], Fallback)
        return self.routes[-1]


class Tree:
    """The places of one mounted folder."""

    def __init__(self, prefix: str, guard: Callable[..., Any] | None, reload: Reload | None) -> None:
        self.prefix, self.guard, self.reload = prefix, guard, reload
        self.places: list[Place] = []

    def lookup(self) -> "Step":
        """A function from a path to the router of its place."""
        exact: dict[str, APIRouter] = {}
        trie, prefix = Trie[APIRouter](), self.prefix
        for place in self.places:
            trie.add(place.segments, place.router)
            if all(segment.kind == Kind.STATIC for segment in place.segments):
                exact[conflicts.url(place.segments, prefix)] = place.router

        def lookup(path: str, scope: Scope) -> APIRouter | None:
            if router := exact.get(path):
                return router
            if not path.startswith(prefix):
                return None
            below = path[len(prefix) :].removesuffix("/")
            if below[:1] not in ("", "/"):
                return None
            return trie.find(below[1:].split("/") if below else [])

        return lookup


class Dispatch:
    """Sits on `router.middleware_stack`, where `router.app`, the linear search, sat.

    It decides nothing: it only leaves out the routes that cannot match, and lets FastAPI's own router
    search the few that remain. The order of `router.routes` is kept, also between trees and other routes.
    """

    def __init__(self, router: APIRouter) -> None:
        self.router = router
        self.trees: list[Tree] = []
        self.index()

    @classmethod
    def of(cls, router: APIRouter) -> "Dispatch":
        """The one of this router."""
        if not isinstance(router.middleware_stack, cls):
            router.middleware_stack = cls(router)
        return router.middleware_stack

    def index(self) -> None:
        """Read `router.routes` anew."""
        owner = {id(r): tree for tree in self.trees for place in tree.places for r in place.routes}
        self.others = [route for route in self.router.routes if id(route) not in owner]
        self.count = len(self.router.routes)
        self.steps: list[Step] = []
        run: list[BaseRoute] = []
        last = None
        for route in self.router.routes:
            tree = owner.get(id(route))
            if tree is None:
                run.append(route)
            elif tree is not last:
                if run:
                    self.steps.append(self._search(run))
                self.steps.append(tree.lookup())
                run = []
            last = tree
        # What comes after the last tree is among the others, which are searched when all else failed.

    def _search(self, routes: Sequence[BaseRoute]) -> Step:
        """If one of the other routes that come before a tree may match, everything is searched in order."""
        exact = {r.path for r in routes if type(r) in _EXACT and not r.param_convertors}  # type: ignore[attr-defined]
        unsure = [r for r in routes if type(r) not in _EXACT or r.param_convertors]  # type: ignore[attr-defined]

        def search(path: str, scope: Scope) -> APIRouter | None:
            # `$` in their regular expressions matches before a line feed too.
            found = path.removesuffix("\n") in exact or any(
                r.matches(scope)[0] is not Match.NONE for r in unsure
            )
            return self.router if found else None

        return search

    def find(self, path: str, scope: Scope) -> APIRouter:
        """The router that knows the routes for this request."""
        for step in self.steps:
            if router := step(path, scope):
                return router
        return narrow(self.router, self.others)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.router.app(scope, receive, send)
        path, root = scope["path"], scope.get("root_path", "")
        if root and path.startswith(root) and path[len(root) :][:1] in ("", "/"):
            path = path[len(root) :]
        for tree in self.trees:
            if tree.reload and (report := tree.reload()) and f"{path}/".startswith(f"{tree.prefix}/"):
                return await answer_broken(report, scope, receive, send)
        if self.count != len(self.router.routes):
            self.index()
        scope.setdefault("router", self.router)
        return await self.find(path, scope).app(scope, receive, send)
