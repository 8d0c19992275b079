"""Browsers in which somebody signed in before: a signed cookie names the device and its users.

It opens nothing. It keeps strangers from locking an owner out, and notices about known browsers away.
What ends all of a user's sessions begins another epoch, and devices of earlier ones are strange again.
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
        self.id, self.users = new_token()[:16], list[list[int]]()
        with suppress(BadData, TypeError, ValueError):
            self.id, self.users = self._signer.loads(cookie or "", max_age=SECONDS)

    def knows(self, user_id: int, epoch: int) -> bool:
        """Whether this user signed in here before, in this epoch."""
        return [user_id, epoch] in self.users

    def with_user(self, user_id: int, epoch: int) -> str:
        """The cookie after this user signed in."""
        others = [known for known in self.users if known[0] != user_id]
        return self._signer.dumps([self.id, [[user_id, epoch], *others][:MOST]])

    @property
    def key(self) -> str:
        """Under which limits count it."""
        return digest(self.id).hex()
