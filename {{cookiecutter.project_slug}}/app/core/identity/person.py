"""What a provider says about somebody, strictly typed before any decision rests on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.core.addresses import Address
from app.core.types import Line

_ADDRESS, _LINE = TypeAdapter(Address), TypeAdapter(Line)


class NotBelieved(ValueError):
    """The provider's answer breaks a rule; the message is for our log."""


@dataclass(frozen=True)
class Person:
    """Somebody at a provider. `email` is None unless the provider vouches for it."""

    issuer: str
    subject: str
    email: str | None
    name: str
    tokens: dict[str, str]


def person(issuer: str, claims: Mapping[str, Any], token: Mapping[str, Any]) -> Person:
    """Read the claims; NotBelieved without a subject."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= 255 or not subject.isprintable():
        raise NotBelieved("sub")
    email = _read(_ADDRESS, claims.get("email")) if claims.get("email_verified") is True else None
    name = _read(_LINE, claims.get("name")) or (email or "").partition("@")[0]
    tokens = {key: token[key] for key in ("access_token", "refresh_token") if isinstance(token.get(key), str)}
    return Person(issuer, subject, email, name, tokens)


def _read(adapter: TypeAdapter[str], value: object) -> str | None:
    try:
        return adapter.validate_python(value, strict=True)
    except ValidationError:
        return None
