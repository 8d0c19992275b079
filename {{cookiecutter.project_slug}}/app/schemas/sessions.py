"""Sign-in on the wire."""

from datetime import datetime

from app.core.schema import Output
from app.schemas.users import User


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
