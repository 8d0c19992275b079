"""What a provider says about somebody, strictly typed before any decision rests on it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.core.addresses import Address
from app.core.types import Line

LEEWAY = 60
"""Seconds that a provider's clock may be ahead or behind."""
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
    proved_at: datetime | None = None
    """When they proved there who they are; None where the provider does not say."""


def person(issuer: str, claims: Mapping[str, Any], token: Mapping[str, Any]) -> Person:
    """Read the claims; NotBelieved without a subject."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= 255 or not subject.isprintable():
        raise NotBelieved("sub")
    email = _read(_ADDRESS, claims.get("email")) if claims.get("email_verified") is True else None
    name = _read(_LINE, claims.get("name")) or (email or "").partition("@")[0]
    tokens = {key: token[key] for key in ("access_token", "refresh_token") if isinstance(token.get(key), str)}
    return Person(issuer, subject, email, name, tokens, _moment(claims.get("auth_time")))


def _moment(said: object) -> datetime | None:
    """Never later than now: it makes a session fresh."""
    if said is None:
        return None
    if type(said) not in (int, float) or not 0 < said < time.time() + LEEWAY:  # type: ignore[operator]
        raise NotBelieved("auth_time")
    return datetime.fromtimestamp(min(said, time.time()), UTC)  # type: ignore[type-var]


def _read(adapter: TypeAdapter[str], value: object) -> str | None:
    try:
        return adapter.validate_python(value, strict=True)
    except ValidationError:
        return None
