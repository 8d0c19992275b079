"""Find the handlers of a route file, and check them."""

import inspect
import symtable
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from importlib.util import decode_source
from pathlib import Path
from types import ModuleType
from typing import Any

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from filerouter.errors import RouteProblem
from filerouter.scanner import RouteFile
from filerouter.segments import Kind

HANDLER_NAMES = ("get", "post", "put", "patch", "delete", "head", "options", "websocket")


def find_handlers(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """Return the handlers by name. A `get` that the module imports is not a handler."""
    own = _own_callables(module)
    return {name: own[name] for name in HANDLER_NAMES if inspect.isfunction(own.get(name))}


def find_router(module: ModuleType) -> APIRouter | None:
    """Return the module's own APIRouter, which replaces handlers."""
    router = getattr(module, "router", None)
    return router if isinstance(router, APIRouter) else None


def check_module(module: ModuleType, file: RouteFile) -> Iterator[RouteProblem]:
    """Yield the problems to fix before routes can be made of the module."""
    own, handlers, router = _own_callables(module), find_handlers(module), find_router(module)
    router_endpoints = [context.endpoint for context in iter_route_contexts(router.routes)] if router else []
    endpoints = [*handlers.values(), *router_endpoints]
    strays = [name for name, value in own.items() if not name.startswith("_") and value not in endpoints]
    for name in strays:
        yield file.problem("stray-function", _explain_stray(name, own[name]))
    if router and handlers:
        text = f"has both a router and handlers ({', '.join(handlers)}). Keep one of the two."
        yield file.problem("router-and-handlers", text)
    elif router and not router_endpoints:
        yield file.problem("no-handler", "router has no routes. Add one, or delete the file.")
    elif not router and not handlers and not any(map(_similar_name, strays)):
        text = "has no handler. Define get(), post(), put(), patch(), delete() or websocket()."
        yield file.problem("no-handler", text)
    if "websocket" in handlers and not inspect.iscoroutinefunction(inspect.unwrap(handlers["websocket"])):
        yield file.problem("sync-websocket", "websocket() must be async def.")


def check_parameters(dependant: Dependant, handler: str, file: RouteFile) -> Iterator[RouteProblem]:
    """Yield the path parameters that only the URL has, or only the handler."""
    declared = {field.alias for part in iter_dependants(dependant) for field in part.path_params}
    expected = {s.text for s in file.segments if s.kind >= Kind.PARAM}
    for name in sorted(expected - declared):
        near = get_close_matches(name, [field.alias for field in dependant.query_params], 1, cutoff=0.4)
        advice = f"Rename its parameter {near[0]} to {name}" if near else f"Add it: {handler}({name}: str)"
        yield file.problem("missing-parameter", f"{handler}() has no parameter {name}. {advice}.")
    mixed = " ".join(s.text for s in file.segments if s.kind == Kind.MIXED)
    for name in sorted(declared - expected):
        if f"{{{name}" not in mixed:
            text = f"{handler}() has a path parameter {name}, which is not in the URL. "
            text += "Rename the file or the parameter."
            yield file.problem("unknown-parameter", text)


def iter_dependants(dependant: Dependant) -> Iterator[Dependant]:
    """Yield a handler's dependant and those of all its dependencies."""
    yield dependant
    for part in dependant.dependencies:
        yield from iter_dependants(part)


def _own_callables(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """Return the functions that the module defines or assigns, and any other callable named as a handler.

    Reads the source: a function does not show whether it was imported, because a decorated one or a closure
    may have the `__module__` of its factory.
    """
    file = module.__file__ or ""
    source = decode_source(Path(file).read_bytes())
    symbols = symtable.symtable(source, file, "exec").get_symbols()
    names = [symbol.get_name() for symbol in symbols if symbol.is_assigned()]
    values = {name: getattr(module, name, None) for name in names}
    return {
        name: value
        for name, value in values.items()
        if inspect.isfunction(value) or (name in HANDLER_NAMES and callable(value))
    }


def _similar_name(name: str) -> str:
    """Return the handler name that `name` resembles, or an empty string."""
    return next(iter(get_close_matches(name.lower(), HANDLER_NAMES, 1)), "")


def _explain_stray(name: str, value: object) -> str:
    if name in HANDLER_NAMES:
        advice = f"Define async def {name}() and call it there, or rename it to _{name}."
        return f"{name} is of type {type(value).__name__}, not a function. {advice}"
    if name.lower() in HANDLER_NAMES:
        return f"{name}() is not a handler. Rename it to {name.lower()}."
    if similar := _similar_name(name):
        return f"{name}() is not a handler. Did you mean {similar}? Otherwise, prefix its name with _."
    return f"{name}() is not a handler. Prefix its name with _, or move it to a service."
