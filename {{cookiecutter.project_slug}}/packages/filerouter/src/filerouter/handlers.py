"""Which functions of a module answer requests, and which only look as if they did."""

import ast
import inspect
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from types import ModuleType
from typing import Any

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from filerouter.problems import Problem, shown
from filerouter.scan import RouteFile
from filerouter.segments import Kind, Segment

VERBS = ("get", "post", "put", "patch", "delete", "head", "options", "websocket")


def handlers_of(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The handlers by verb. A `get` that was imported from elsewhere is none."""
    own = _own(module)
    return {verb: own[verb] for verb in VERBS if inspect.isfunction(own.get(verb))}


def problems_of(module: ModuleType, file: RouteFile) -> Iterator[Problem]:
    """What the author of a route file has to change before it can be registered."""
    where, own, handlers = file.where, _own(module), handlers_of(module)
    router = getattr(module, "router", None)
    hatch = list(iter_route_contexts(router.routes)) if isinstance(router, APIRouter) else None
    endpoints = [*handlers.values(), *(context.endpoint for context in hatch or ())]
    strays = [name for name, value in own.items() if not name.startswith("_") and value not in endpoints]
    for name in strays:
        yield Problem("stray-function", (file.path,), f"{where}: {_stray(name, own[name])}")
    if hatch is not None and handlers:
        text = (
            f"{where}: has both a router and {', '.join(handlers)}(). Move them into the router, or drop it."
        )
        yield Problem("router-and-handlers", (file.path,), text)
    elif hatch == []:
        text = f"{where}: router has no route. Add one, or delete the file."
        yield Problem("no-handler", (file.path,), text)
    elif hatch is None and not handlers and not any(map(_meant, strays)):
        text = f"{where}: has no handler. Write async def get(), post, put, patch, delete or websocket."
        yield Problem("no-handler", (file.path,), text)
    if "websocket" in handlers and not inspect.iscoroutinefunction(inspect.unwrap(handlers["websocket"])):
        yield Problem("sync-websocket", (file.path,), f"{where}: websocket() must be async def.")


def parameter_problems(
    dependant: Dependant, verb: str, segments: tuple[Segment, ...], url: str, file: RouteFile
) -> Iterator[Problem]:
    """Parameters that the URL has and the handler not, or the reverse."""
    where = shown(file.path)
    taken = {field.alias for part in walk(dependant) for field in part.path_params}
    given = {s.text for s in segments if s.kind >= Kind.PARAM}
    asked = [field.alias for field in dependant.query_params]
    for name in sorted(given - taken):
        near = get_close_matches(name, asked, 1, cutoff=0.4)
        advice = f"Rename its parameter {near[0]}" if near else f"Add it: {verb}({name}: str)"
        text = f"{where}: {verb}() does not take {name} of {url}. {advice}."
        yield Problem("missing-parameter", (file.path,), text)
    mixed = " ".join(s.text for s in segments if s.kind == Kind.MIXED)
    for name in sorted(taken - given):
        if f"{{{name}" not in mixed:
            text = f"{where}: {verb}() takes the path parameter {name}, which {url} has not. "
            text += "Rename the file or the parameter."
            yield Problem("unknown-parameter", (file.path,), text)


def walk(dependant: Dependant) -> Iterator[Dependant]:
    """A handler and all that it depends on."""
    yield dependant
    for part in dependant.dependencies:
        yield from walk(part)


def _own(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The functions that the file binds to a name, and under the name of a verb whatever can be called."""
    own: dict[str, Callable[..., Any]] = {}
    bound: set[str] | None = None
    for name, value in vars(module).items():
        function = inspect.isfunction(value)
        if not function and not (name in VERBS and callable(value)):
            continue
        if function and inspect.unwrap(value).__module__ == module.__name__:
            own[name] = value
        elif name in VERBS or "<locals>" in value.__qualname__:
            # A closure tells where its maker is, a partial nothing: the source knows who has bound the name.
            bound = {*_bound(ast.parse(inspect.getsource(module)).body)} if bound is None else bound
            if name in bound:
                own[name] = value
    return own


def _bound(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The names that a module binds otherwise than by an import."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        else:
            yield from _bound(ast.iter_child_nodes(node))


def _meant(name: str) -> str:
    """The verb that a name resembles, or nothing."""
    return next(iter(get_close_matches(name.lower(), VERBS, 1)), "")


def _stray(name: str, value: object) -> str:
    if name in VERBS:
        kind = type(value).__name__
        advice = f"Write async def {name}() and call it there, or rename it to _{name}"
        return f"{name} is no function but a {kind}. {advice}."
    if name.lower() in VERBS:
        return f"{name}() is no handler. Write {name.lower()} in lower case."
    if verb := _meant(name):
        return f"{name}() is no handler. Did you mean {verb}? Otherwise prefix it with _."
    return f"{name}() is no handler. Prefix it with _, or move it to a service."
