"""Accounts elsewhere, on the wire."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from app.core.addresses import LocalPath
from app.core.schema import Input, Output, Query

ProviderName = Annotated[str, StringConstraints(max_length=40, pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Code = Annotated[str, StringConstraints(max_length=4096)]


class Next(Query):
    """Where to go after signing in."""

    next: LocalPath = "/"


class LinkStart(Input):
    """Which provider's account you want to sign in with, too."""

    provider: ProviderName
    next: LocalPath = "/"


class Departure(Output):
    """Send the browser there; it comes back by itself."""

    location: str


class ProviderInfo(Output):
    """A provider that people can sign in with."""

    name: str
    label: str
    url: Annotated[str, Field(description="Send the browser there to sign in.")]


class ProviderList(Output):
    """Those of the settings."""

    items: list[ProviderInfo]


class Identity(Output):
    """An account elsewhere that may sign in as you."""

    id: int
    provider: str
    email: str | None
    linked_at: datetime


class IdentityList(Output):
    """All of them."""

    items: list[Identity]
