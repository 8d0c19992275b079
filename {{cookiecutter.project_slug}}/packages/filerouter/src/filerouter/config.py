"""What a file, a folder or a handler may set beside the code."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, TypeVar

from fastapi import APIRouter
from fastapi.params import Depends

Handler = TypeVar("Handler", bound=Callable[..., Any])


class UnknownSetting(TypeError):
    """A setting that does not exist; the message names the likely one."""


@dataclass(frozen=True, kw_only=True)
class RouteConfig:
    """The settings of a route file, or in `_folder.py` of a folder and all below. None: as above."""

    public: bool | None = None
    dependencies: Sequence[Depends] = ()
    tags: Sequence[str] = ()
    responses: Mapping[int | str, dict[str, Any]] = field(default_factory=dict)
    deprecated: bool | None = None
    include_in_schema: bool | None = None
    max_body_size: int | None = None

    def __new__(cls, **settings: object) -> "RouteConfig":
        _refuse_unknown("RouteConfig", settings, [f.name for f in fields(cls)])
        return super().__new__(cls)

    def __or__(self, below: "RouteConfig") -> "RouteConfig":
        """Merge with the config below: lists add up, scalars override."""
        merged: dict[str, Any] = {}
        for name in (f.name for f in fields(self)):
            ours, theirs = getattr(self, name), getattr(below, name)
            if name == "responses":
                merged[name] = {**ours, **theirs}
            elif name in ("dependencies", "tags"):
                merged[name] = (*ours, *theirs)
            else:
                merged[name] = ours if theirs is None else theirs
        return RouteConfig(**merged)


OPTIONS = [
    name
    for name, parameter in inspect.signature(APIRouter.add_api_route).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "methods"
]


def operation(**options: Any) -> Callable[[Handler], Handler]:
    """Set options of one handler: the keyword names of `APIRouter.add_api_route`."""
    _refuse_unknown("operation", options, OPTIONS)

    def attach(handler: Handler) -> Handler:
        handler.__operation__ = {**options_of(handler), **options}  # type: ignore[attr-defined]
        return handler

    return attach


def options_of(handler: Callable[..., Any]) -> dict[str, Any]:
    """What `@operation` said."""
    return getattr(handler, "__operation__", {})


def _refuse_unknown(owner: str, given: Iterable[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"Did you mean {near[0]}?" if near else f"It has {', '.join(known)}."
            raise UnknownSetting(f"{owner} has no setting {name}. {hint}")
