"""Our cookies: `__Host-` (no other host can set or read them), unreadable to scripts, over TLS only.

Browsers treat http://localhost as secure; sign-in does not work on any other plain address.
"""

from dataclasses import dataclass

from starlette.requests import HTTPConnection
from starlette.responses import Response

from app.core.errors import BadRequest

SESSION = "__Host-session"
DEVICE = "__Host-device"
FLOW = "__Host-flow"


def read(connection: HTTPConnection, name: str) -> str | None:
    """The cookie's value; BadRequest if it was sent twice, which no browser does."""
    sent = ";".join(connection.headers.getlist("cookie")).split(";")
    if sum(part.strip().startswith(f"{name}=") for part in sent) > 1:
        raise BadRequest(f"The cookie {name} was sent more than once.")
    return connection.cookies.get(name)


@dataclass(frozen=True)
class Browser:
    """Our cookies as they were sent, whoever they belong to."""

    session: str | None
    device: str | None
    """A browser in which somebody signed in before (core/devices.py)."""
    flow: str | None
    """A browser that went to a provider (services/flows.py)."""


def browser_of(connection: HTTPConnection) -> Browser:
    """Read them from the connection."""
    return Browser(
        session=read(connection, SESSION),
        device=read(connection, DEVICE),
        flow=read(connection, FLOW),
    )


def put(response: Response, name: str, value: str, seconds: int | None = None) -> None:
    """Set it; without `seconds` until the browser ends."""
    response.set_cookie(name, value, seconds, path="/", secure=True, httponly=True, samesite="lax")


def drop(response: Response, name: str) -> None:
    """Delete it."""
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")
