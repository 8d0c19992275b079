"""The product's cookies, and the devices that users signed in with before."""

from contextlib import suppress
from dataclasses import dataclass

from itsdangerous import BadData
from saaskit.security import digest, new_token, signer
from saaskit.web import get_cookie, set_cookie
from starlette.requests import HTTPConnection
from starlette.responses import Response

from app.settings import Settings

SESSION = "__Host-session"
DEVICE = "__Host-device"
FLOW = "__Host-flow"
DEVICE_MAX_AGE = 400 * 86400
"""Seconds; browsers keep no cookie longer."""
MAX_DEVICE_USERS = 5


@dataclass(frozen=True)
class BrowserCookies:
    """The cookies as they were sent."""

    session: str | None
    """The token of a session."""
    device: str | None
    """The users who signed in with this browser before (Device below)."""
    flow: str | None
    """The browser of a pending OAuth sign-in (oauth_flows.py)."""


@dataclass(frozen=True)
class NewSession:
    """Cookie values for a session that has just started. Without `max_age` it ends with the browser."""

    token: str
    device: str
    max_age: int | None


def get_cookies(connection: HTTPConnection) -> BrowserCookies:
    """Return the cookies; raises BadRequest if one was sent twice."""
    return BrowserCookies(
        session=get_cookie(connection, SESSION),
        device=get_cookie(connection, DEVICE),
        flow=get_cookie(connection, FLOW),
    )


def set_session(response: Response, session: NewSession) -> None:
    """Sign the browser in."""
    set_cookie(response, SESSION, session.token, session.max_age)
    set_cookie(response, DEVICE, session.device, DEVICE_MAX_AGE)


class Device:
    """The users who signed in with this browser before, from a signed cookie.

    The cookie grants nothing. It keeps attackers from locking a user out by failed sign-ins, and avoids
    e-mails about known browsers. When all of a user's sessions end, the user's `device_epoch` increases and
    every device is unknown again.
    """

    def __init__(self, cookie: str | None, settings: Settings) -> None:
        """Read the cookie. Without a valid one this is a new device."""
        self._signer = signer(settings.signing_keys, "device")
        self.id, self.users = new_token()[:16], list[list[int]]()
        with suppress(BadData, TypeError, ValueError):
            self.id, self.users = self._signer.loads(cookie or "", max_age=DEVICE_MAX_AGE)

    def knows(self, user_id: int, epoch: int) -> bool:
        """Return whether this user signed in here in this epoch."""
        return [user_id, epoch] in self.users

    def cookie_with(self, user_id: int, epoch: int) -> str:
        """Return the cookie after this user signed in."""
        others = [known for known in self.users if known[0] != user_id]
        return self._signer.dumps([self.id, [[user_id, epoch], *others][:MAX_DEVICE_USERS]])

    @property
    def key(self) -> str:
        """The key under which rate limits count this device."""
        return digest(self.id).hex()
