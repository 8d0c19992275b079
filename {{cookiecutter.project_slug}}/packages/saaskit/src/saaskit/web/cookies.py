"""Cookies with the prefix `__Host-`: bound to this host, unreadable to scripts, sent over TLS only.

Browsers treat http://localhost as secure. On any other plain-HTTP address they refuse these cookies.
"""

from starlette.requests import HTTPConnection
from starlette.responses import Response

from saaskit.errors import BadRequest


def get_cookie(connection: HTTPConnection, name: str) -> str | None:
    """Return the cookie's value; raises BadRequest if it was sent twice, which no browser does."""
    sent = ";".join(connection.headers.getlist("cookie")).split(";")
    if sum(part.strip().startswith(f"{name}=") for part in sent) > 1:
        raise BadRequest(f"The cookie {name} was sent more than once.")
    return connection.cookies.get(name)


def set_cookie(response: Response, name: str, value: str, max_age: int | None = None) -> None:
    """Set the cookie. Without `max_age` (seconds) it lasts until the browser is closed."""
    response.set_cookie(name, value, max_age, path="/", secure=True, httponly=True, samesite="lax")


def delete_cookie(response: Response, name: str) -> None:
    """Delete the cookie."""
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")
