"""Arguments as text for a key: what differs in a type or in anything inside is written differently.

Plain JSON will not do: it writes every secret as `**********`, leaves out what a model excludes, and has b"a"
look like "a".
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

_JSON = frozenset({str, int, float, bool, type(None)})


def write(values: Any) -> bytes:
    """Raises TypeError for what has no JSON, such as a session, and for secrets, which no key may hold."""
    try:
        return to_json(_typed(values))
    except PydanticSerializationError as error:
        raise TypeError(str(error)) from None


def _typed(value: Any) -> Any:
    kind = type(value)
    return value if kind in _JSON else [f"{kind.__module__}.{kind.__qualname__}", _inside(value)]


def _inside(value: Any) -> Any:
    if isinstance(value, Secret | SecretStr | SecretBytes):
        raise TypeError(f"a {type(value).__name__}")
    if isinstance(value, BaseModel):
        return _inside(value.__dict__ | (value.__pydantic_extra__ or {}) | (value.__pydantic_private__ or {}))
    if is_dataclass(value):
        return [_typed(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, Mapping):
        return [[_typed(key), _typed(item)] for key, item in value.items()]
    if isinstance(value, Set):
        return sorted(to_json(_typed(item)) for item in value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return [_typed(item) for item in value]
    return to_jsonable_python(value, bytes_mode="hex")
