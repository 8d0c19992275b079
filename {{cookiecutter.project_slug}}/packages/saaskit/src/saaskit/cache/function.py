"""A cached function: its options, the keys of its calls, and its values as JSON."""

import datetime
import hashlib
import inspect
import json
import types
import typing
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter

from saaskit.cache import keys
from saaskit.cache.entry import Windows
from saaskit.cache_context import current_identity

Tags = Callable[..., Iterable[str]] | Iterable[str]
# Equal values of these types have equal JSON, if their types are equal (1 == True, 0.0 == -0.0).
_STRING = frozenset({str})
_SIMPLE = frozenset({str, int, bool, type(None), UUID})


@dataclass(eq=False)
class CachedFunction:
    """A function and its `@cached` options."""

    call: Callable[..., Awaitable[Any]]
    name: str
    windows: Windows
    tags: Tags
    audience: keys.Audience
    local: float

    @cached_property
    def codec(self) -> "Codec":
        """Created at the first call, because building a schema takes a millisecond."""
        return Codec(self.call)

    def memory_key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        """Return the call's key in this process. In the usual case no JSON is written."""
        identity = current_identity() if self.audience == "caller" else keys.identity_for(self.audience)
        if not kwargs:
            if _STRING.issuperset(map(type, args)):
                return self, identity, args
            kinds = tuple(map(type, args))
            if _SIMPLE.issuperset(kinds):
                return self, identity, args, kinds
        return self, identity, self._digest(args, kwargs)

    def entry_keys(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> keys.EntryKeys:
        """Return the call's names on the server. Raises TypeError if an argument cannot be part of a key."""
        name = f"cache:{self.name}:{self.codec.version}:{self._digest(args, kwargs)}"
        tags = tuple(self.tags(*args, **kwargs) if callable(self.tags) else self.tags)
        return keys.EntryKeys(
            name, f"{name}:lease", tags, tuple(k for tag in tags for k in keys.tag_version_keys(tag))
        )

    def _digest(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        bound = self.codec.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            encoded = keys.encode_arguments([keys.identity_for(self.audience), bound.arguments])
        except TypeError as error:
            raise TypeError(f"{self.name}: an argument cannot be part of a cache key: {error}") from None
        return hashlib.blake2b(encoded, digest_size=16).hexdigest()


class Codec:
    """Converts the values of one function to JSON and back. `version` changes with the type's schema."""

    def __init__(self, function: Callable[..., Any]) -> None:
        hints = typing.get_type_hints(function, include_extras=True)
        if "return" not in hints:
            raise TypeError(f"{function.__qualname__}: a cached function needs a return annotation")
        self.adapter: TypeAdapter[Any] = TypeAdapter(hints["return"])
        self.immutable = is_immutable(hints["return"])
        self.signature = inspect.signature(function)
        schema = json.dumps(self.adapter.json_schema(), sort_keys=True)
        identity = f"{function.__module__}.{function.__qualname__} {schema}"
        self.version = hashlib.blake2b(identity.encode(), digest_size=6).hexdigest()

    def dump(self, value: Any) -> bytes:
        """Return JSON for `load`; raises ValueError or TypeError for a value of another type."""
        return self.adapter.dump_json(value, by_alias=True, round_trip=True, warnings="error")

    def load(self, body: bytes) -> Any:
        """Return a new object; raises ValueError if the JSON does not fit the type."""
        return self.adapter.validate_json(body, by_alias=True)


_IMMUTABLE = {str, int, float, bool, bytes, type(None), Decimal, UUID}
_IMMUTABLE |= {datetime.datetime, datetime.date, datetime.time, datetime.timedelta}


def is_immutable(kind: Any) -> bool:
    """Return whether callers cannot modify values of this type, so that all of them may share one object."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = kind.model_fields.values()
        return bool(kind.model_config.get("frozen")) and all(
            is_immutable(field.annotation) for field in fields
        )
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return is_immutable(arguments[0])
    if origin in (tuple, frozenset, typing.Union, types.UnionType):
        return all(argument is Ellipsis or is_immutable(argument) for argument in arguments)
    if origin is typing.Literal:
        return True
    return kind in _IMMUTABLE or (isinstance(kind, type) and issubclass(kind, Enum))
