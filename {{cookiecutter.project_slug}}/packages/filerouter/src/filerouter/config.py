"""Settings of route files, folders and handlers."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, TypeVar

from fastapi import APIRouter
from fastapi.params import Depends

Handler = TypeVar("Handler", bound=Callable[..., Any])


class UnknownSetting(TypeError):
    """A setting that does not exist. The message suggests one that does."""


@dataclass(frozen=True, kw_only=True)
class RouteConfig:
    """The settings of a route file or, in `_folder.py`, of all files in the folder and below.

    A setting that is None is inherited from the folder above.
    """

    public: bool | None = None
    dependencies: Sequence[Depends] = ()
    tags: Sequence[str] = ()
    responses: Mapping[int | str, dict[str, Any]] = field(default_factory=dict)
    deprecated: bool | None = None
    include_in_schema: bool | None = None
    max_body_size: int | None = None

    def __new__(cls, **settings: object) -> "RouteConfig":
        _reject_unknown("RouteConfig", settings, [f.name for f in fields(cls)])
        return super().__new__(cls)

    def __or__(self, below: "RouteConfig") -> "RouteConfig":
        """Merge with the config of a level below. Lists are joined; other settings of `below` win."""
        changes = {name: value for name, value in vars(below).items() if value is not None}
        changes["dependencies"] = (*self.dependencies, *below.dependencies)
        changes["tags"] = (*self.tags, *below.tags)
        changes["responses"] = {**self.responses, **below.responses}
        return replace(self, **changes)


OPERATION_OPTIONS = [
    name
    for name, parameter in inspect.signature(APIRouter.add_api_route).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "methods"
]


def operation(**options: Any) -> Callable[[Handler], Handler]:
    """Set options of one handler. They are the keyword arguments of `APIRouter.add_api_route`."""
    _reject_unknown("operation", options, OPERATION_OPTIONS)

    def decorate(handler: Handler) -> Handler:
        handler.__operation__ = {**operation_options(handler), **options}  # type: ignore[attr-defined]
        return handler

    return decorate


def operation_options(handler: Callable[..., Any]) -> dict[str, Any]:
    """Return the options that `@operation` has set."""
    return getattr(handler, "__operation__", {})


def _reject_unknown(owner: str, given: Iterable[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"Did you mean {near[0]}?" if near else f"The settings are {', '.join(known)}."
            raise UnknownSetting(f"{owner} has no setting {name}. {hint}")
