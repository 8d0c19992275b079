"""Accounts on the wire."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from app.core.schema import Input, Output
from app.core.types import Line

MailToken = Annotated[str, Field(min_length=1, max_length=100)]
"""From a link in a mail; good once."""


class User(Output):
    """Somebody with an account."""

    id: int
    email: str
    name: str
    created_at: datetime
    delete_at: datetime | None
    """When the account will be erased; null unless its owner asked for that."""


class UserChange(Input):
    """What is to be different."""

    name: Line


class MailSent(Output):
    """The same answer whether the address is known or not."""

    detail: str = "If that address can be used, a mail is on its way to it."


class TokenState(Output):
    """What a link is worth, before anybody uses it."""

    valid: bool
    expires_at: datetime | None = None
