"""Sign-in on the wire."""

from datetime import datetime

from app.core.addresses import Address
from app.core.schema import Input, Output
from app.schemas.users import Password, User


class SignIn(Input):
    """Who wants in."""

    email: Address
    password: Password
    remember: bool = False
    """Stay signed in for weeks on this device, not only until the browser ends."""


class CurrentSession(Output):
    """Who is signed in here."""

    user: User
    signed_in_at: datetime


class Session(Output):
    """One place where somebody is signed in."""

    id: int
    current: bool
    """The one that asks."""
    signed_in_at: datetime
    seen_at: datetime
    """To the minute."""
    expires_at: datetime
    methods: list[str]
    address: str
    user_agent: str

    @classmethod
    def of(cls, row: object, *, current: bool) -> "Session":
        """Read it from a row, which does not know who asks."""
        return cls.model_validate(vars(row) | {"current": current})


class SessionList(Output):
    """All of them, the last used one first."""

    items: list[Session]
