"""Browsers in which somebody signed in before: a signed cookie names the device and its users.

It opens nothing. It keeps strangers from locking an owner out, and notices about known browsers away.
"""

from contextlib import suppress

from itsdangerous import BadData

from app.core.secrets import digest, new_token, signer
from app.settings import Settings

SECONDS = 400 * 86400
MOST = 5


class Device:
    """What the cookie says."""

    def __init__(self, cookie: str | None, settings: Settings) -> None:
        self._signer = signer(settings, "device")
        self.id, self.users = new_token()[:16], list[int]()
        with suppress(BadData, TypeError, ValueError):
            self.id, self.users = self._signer.loads(cookie or "", max_age=SECONDS)

    def knows(self, user_id: int) -> bool:
        """Whether this user signed in here before."""
        return user_id in self.users

    def with_user(self, user_id: int) -> str:
        """The cookie after this user signed in."""
        users = [user_id, *(known for known in self.users if known != user_id)][:MOST]
        return self._signer.dumps([self.id, users])

    @property
    def key(self) -> str:
        """Under which limits count it."""
        return digest(self.id).hex()
