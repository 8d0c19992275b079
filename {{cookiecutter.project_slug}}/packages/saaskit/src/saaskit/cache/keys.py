"""Cache keys. The user, every argument with its type, and the result's schema are part of each key.

A cached function has separate entries for each user, unless it declares `audience="tenant"` or
`audience="everyone"`. The code that authenticates the user calls `vary_by_user` once per request or job.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from saaskit.cache_context import ANONYMOUS, Identity, current_identity

Audience = Literal["caller", "tenant", "everyone"]
"""Users that share an entry: one user, all users of a tenant, or all users."""


def identity_for(audience: Audience) -> Identity:
    """Return the part of the identity that the audience distinguishes.

    Raises LookupError for "tenant" if the current user has none.
    """
    if audience == "everyone":
        return ANONYMOUS
    identity = current_identity()
    if audience == "caller":
        return identity
    if not identity.tenant:
        raise LookupError("audience='tenant' needs a tenant: call vary_by_user(user_id, tenant) first")
    return Identity(tenant=identity.tenant)


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
