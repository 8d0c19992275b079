"""Cache keys. The user, every argument with its type, and the result's schema are part of each key."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python


class EntryKeys(NamedTuple):
    """Names on the server: the entry, the lease on computing it, and two versions for each tag in `tags`."""

    entry: str
    lease: str
    tags: tuple[str, ...]
    tag_versions: tuple[str, ...]


def tag_version_keys(tag: str) -> tuple[str, str]:
    """Return the names of a tag's versions: `update_tag` changes the first, `revalidate_tag` the second."""
    name = f"cache:tag:{quote(tag, safe='')}"
    return f"{name}:update", f"{name}:revalidate"


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
