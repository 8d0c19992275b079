"""`@cached(...)`: a function whose values are cached, the keys of its calls, and its values as JSON."""

import asyncio
import datetime
import hashlib
import inspect
import json
import types
import typing
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import cached_property, wraps
from typing import Any, Literal, ParamSpec, TypeVar
from uuid import UUID

from pydantic import BaseModel, Secret, SecretBytes, SecretStr, TypeAdapter
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from saaskit.cache.loader import Loader
from saaskit.cache.redis_backend import EntryKeys, tag_version_keys
from saaskit.cache.store import MemoryEntry, Windows, current_store
from saaskit.cache_context import ANONYMOUS, Identity, current_identity, current_outcomes, record
from saaskit.errors import NotFound

Tags = Callable[..., Iterable[str]] | Iterable[str]
# Equal values of these types have equal JSON, if their types are equal (1 == True, 0.0 == -0.0).
_STRING = frozenset({str})
_SIMPLE = frozenset({str, int, bool, type(None), UUID})


Audience = Literal["caller", "tenant", "everyone"]
"""Users that share an entry: one user, all users of a tenant, or all users."""


@dataclass(eq=False)
class CachedFunction:
    """A function and its `@cached` options."""

    call: Callable[..., Awaitable[Any]]
    name: str
    windows: Windows
    tags: Tags
    audience: Audience
    local: float

    @cached_property
    def codec(self) -> "Codec":
        """Created at the first call, because building a schema takes a millisecond."""
        return Codec(self.call)

    def identity(self) -> Identity:
        """Return the part of the current identity that the audience distinguishes.

        Raises LookupError for the audience "tenant" if the current user has none.
        """
        if self.audience == "everyone":
            return ANONYMOUS
        identity = current_identity()
        if self.audience == "caller":
            return identity
        if not identity.tenant:
            raise LookupError("audience='tenant' needs a tenant: call vary_by_user(user_id, tenant) first")
        return Identity(tenant=identity.tenant)

    def memory_key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        """Return the call's key in this process. In the usual case no JSON is written."""
        identity = current_identity() if self.audience == "caller" else self.identity()
        if not kwargs:
            if _STRING.issuperset(map(type, args)):
                return self, identity, args
            kinds = tuple(map(type, args))
            if _SIMPLE.issuperset(kinds):
                return self, identity, args, kinds
        return self, identity, self._digest(args, kwargs)

    def entry_keys(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> EntryKeys:
        """Return the call's names on the server. Raises TypeError if an argument cannot be part of a key."""
        name = f"cache:{self.name}:{self.codec.version}:{self._digest(args, kwargs)}"
        tags = tuple(self.tags(*args, **kwargs) if callable(self.tags) else self.tags)
        return EntryKeys(name, f"{name}:lease", tags, tuple(k for tag in tags for k in tag_version_keys(tag)))

    def _digest(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        bound = self.codec.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            encoded = encode_arguments([self.identity(), bound.arguments])
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


P = ParamSpec("P")
T = TypeVar("T")


def cached(
    name: str,
    *,
    revalidate: float,
    expire: float | None = None,
    stale_if_error: float = 0,
    negative: float = 5,
    tags: Tags = (),
    audience: Audience = "caller",
    local: float = 1,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Cache the function's return values across processes. All times are seconds.

    A value is fresh until `revalidate`. Until `expire` (default: the same) it is returned while one call
    refreshes it. After that, callers wait for a new value, and for `stale_if_error` more seconds they get the
    old one if the call fails. A NotFound is cached for `negative`.

    Each process returns a value from its memory for `local` seconds before it asks the server again; 0 asks
    every time. Each user has separate entries, unless `audience` is "tenant" or "everyone".

    The arguments must have a JSON form, and the function a return annotation. `tags` are names, or a function
    of the arguments that returns them.
    """
    windows = Windows(revalidate, revalidate if expire is None else expire, stale_if_error, negative)
    if not 0 < windows.revalidate <= windows.expire or min(stale_if_error, local) < 0 or negative <= 0:
        raise ValueError(f"{name}: 0 < revalidate <= expire, 0 <= stale_if_error, 0 < negative, 0 <= local")

    def decorate(call: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        function = CachedFunction(call, name, windows, tags, audience, local)

        @wraps(call)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            store, key = current_store(), function.memory_key(args, kwargs)
            entry = store.memory.entries.get(key)
            if entry is not None and entry.trusted_until > (now := store.monotonic()):
                if (outcomes := current_outcomes()) is not None:
                    outcomes.append((name, "stale" if entry.stale else "hit", entry.fresh_until - now))
                return entry.value if entry.shared else _value(function, entry)
            flight = store.flights.get(key)
            joined = flight is not None
            if flight is None:
                flight = store.start(key, Loader(store, function, args, kwargs, key, entry).load())
            try:
                entry, outcome = await asyncio.shield(flight)
            except Exception:
                record(name, "error")
                raise
            if joined and outcome == "miss":
                outcome = "collapsed"
            record(name, outcome, entry.fresh_until - store.monotonic())
            return _value(function, entry)

        return wrapper

    return decorate


def _value(function: CachedFunction, entry: MemoryEntry) -> Any:
    """Return the shared object if it is immutable, else a new one; raises a cached NotFound."""
    if entry.entry.not_found:
        raise NotFound(entry.value)
    return entry.value if entry.shared else function.codec.load(entry.entry.body)


_JSON_TYPES = frozenset({str, int, float, bool, type(None)})


def encode_arguments(values: Any) -> bytes:
    """Return bytes that differ whenever a type or a value inside `values` differs.

    Plain JSON is ambiguous: it writes every secret as `**********`, omits fields that a model excludes, and
    makes b"a" equal to "a". Raises TypeError for a value without a JSON form, such as a database session, and
    for secrets, which must not become part of a key.
    """
    try:
        return to_json(_with_type(values))
    except PydanticSerializationError as error:
        raise TypeError(str(error)) from None


def _with_type(value: Any) -> Any:
    kind = type(value)
    return value if kind in _JSON_TYPES else [f"{kind.__module__}.{kind.__qualname__}", _content(value)]


def _content(value: Any) -> Any:
    if isinstance(value, Secret | SecretStr | SecretBytes):
        raise TypeError(f"a {type(value).__name__}")
    if isinstance(value, BaseModel):
        return _content(
            value.__dict__ | (value.__pydantic_extra__ or {}) | (value.__pydantic_private__ or {})
        )
    if is_dataclass(value):
        return [_with_type(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, Mapping):
        return [[_with_type(key), _with_type(item)] for key, item in value.items()]
    if isinstance(value, Set):
        return sorted(to_json(_with_type(item)) for item in value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return [_with_type(item) for item in value]
    return to_jsonable_python(value, bytes_mode="hex")
