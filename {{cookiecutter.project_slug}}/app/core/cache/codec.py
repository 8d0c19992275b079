"""Values as JSON and back, by the type that the cached function returns: what is read is validated."""

import datetime
import hashlib
import inspect
import json
import types
import typing
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter

_ATOMS = {str, int, float, bool, bytes, type(None), Decimal, UUID}
_ATOMS |= {datetime.datetime, datetime.date, datetime.time, datetime.timedelta}


def immutable(kind: Any) -> bool:
    """Whether no caller can change a value of this type, so that all callers may share one object."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = kind.model_fields.values()
        return bool(kind.model_config.get("frozen")) and all(immutable(field.annotation) for field in fields)
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return immutable(parts[0])
    if origin in (tuple, frozenset, typing.Union, types.UnionType):
        return all(part is Ellipsis or immutable(part) for part in parts)
    if origin is typing.Literal:
        return True
    return kind in _ATOMS or (isinstance(kind, type) and issubclass(kind, Enum))


class Codec:
    """Writes and reads the values of one function; `version` changes with the type's schema."""

    def __init__(self, function: Callable[..., Any]) -> None:
        hints = typing.get_type_hints(function, include_extras=True)
        if "return" not in hints:
            raise TypeError(f"{function.__qualname__}: a cached function names the type that it returns")
        self.adapter: TypeAdapter[Any] = TypeAdapter(hints["return"])
        self.shared = immutable(hints["return"])
        self.signature = inspect.signature(function)
        shape = json.dumps(self.adapter.json_schema(), sort_keys=True)
        named = f"{function.__module__}.{function.__qualname__} {shape}"
        self.version = hashlib.blake2b(named.encode(), digest_size=6).hexdigest()

    def dump(self, value: Any) -> bytes:
        """JSON that `load` reads back; raises ValueError or TypeError for a value that is not of the type."""
        return self.adapter.dump_json(value, by_alias=True, round_trip=True, warnings="error")

    def load(self, body: bytes) -> Any:
        """A new object; raises ValueError when it does not fit the type."""
        return self.adapter.validate_json(body, by_alias=True)
