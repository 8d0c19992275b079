"""Whom a cached value is for. It is part of every key, so that one user's value cannot reach another.

The code that signs a caller in says `serve(Audience(tenant, user))` once; every cached function that the
request calls then has entries of its own for that caller, unless it states `audience="tenant"` or
`audience="everyone"`.
"""

from contextvars import ContextVar
from typing import Literal, NamedTuple

Scope = Literal["caller", "tenant", "everyone"]


class Audience(NamedTuple):
    """A tenant and a user by their identifiers; empty for a caller who is not signed in."""

    tenant: str = ""
    user: str = ""


EVERYONE = Audience()
_current: ContextVar[Audience] = ContextVar("audience", default=EVERYONE)
current = _current.get


def serve(audience: Audience) -> None:
    """Name the caller for the rest of this request or job. Call it from `async` code, not from a thread."""
    _current.set(audience)


def of(scope: Scope) -> Audience:
    """The part of the caller that a function with this scope distinguishes. LookupError without a tenant."""
    if scope == "everyone":
        return EVERYONE
    if scope == "caller":
        return current()
    if not current().tenant:
        raise LookupError("audience='tenant', and nobody has said which: serve(Audience(tenant=...)) first")
    return Audience(tenant=current().tenant)
