"""A user as a provider describes them, with strictly typed claims."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from saaskit.errors import BadRequest
from saaskit.types import AccountEmail, SingleLine

LEEWAY = 60
"""Seconds that a provider's clock may be ahead or behind."""
_EMAIL, _NAME = TypeAdapter(AccountEmail), TypeAdapter(SingleLine)


class InvalidProviderResponse(ValueError):
    """The provider's response breaks a rule. The message is for the log, not for users."""


class SignInFailed(BadRequest):
    """The one error for every response that is not accepted, so that it reveals no reason."""

    def __init__(self) -> None:
        super().__init__("Sign-in could not be completed. Start again.", event="identity.refused")


@dataclass(frozen=True)
class ExternalIdentity:
    """A user's account at a provider, identified by `issuer` and `subject`. The rest can change."""

    issuer: str
    subject: str
    email: str | None
    """None unless the provider has verified it."""
    name: str
    tokens: dict[str, str]
    """`access_token` and `refresh_token`, if the provider sent them."""
    authenticated_at: datetime | None = None
    """When the user last authenticated at the provider; None if the provider does not say."""


def parse_claims(issuer: str, claims: Mapping[str, Any], token: Mapping[str, Any]) -> ExternalIdentity:
    """Return the identity. Raises InvalidProviderResponse without a valid subject."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= 255 or not subject.isprintable():
        raise InvalidProviderResponse("sub")
    email = _valid(_EMAIL, claims.get("email")) if claims.get("email_verified") is True else None
    name = _valid(_NAME, claims.get("name")) or (email or "").partition("@")[0]
    tokens = {key: token[key] for key in ("access_token", "refresh_token") if isinstance(token.get(key), str)}
    return ExternalIdentity(issuer, subject, email, name, tokens, _auth_time(claims.get("auth_time")))


def _auth_time(value: object) -> datetime | None:
    """Return the time, at most now: it decides whether a session counts as fresh."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < time.time() + LEEWAY:
        raise InvalidProviderResponse("auth_time")
    return datetime.fromtimestamp(min(value, time.time()), UTC)


def _valid(adapter: TypeAdapter[str], value: object) -> str | None:
    try:
        return adapter.validate_python(value, strict=True)
    except ValidationError:
        return None
