"""The client of a request (IP address, user agent, request id), and its cookies."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from starlette.requests import HTTPConnection
from starlette.responses import Response

from saaskit.errors import BadRequest


@dataclass(frozen=True)
class ClientInfo:
    """The client, as far as the connection shows it."""

    ip: str
    user_agent: str
    request_id: str | None

    @property
    def network(self) -> str:
        """The unit that rate limits count: the IPv4 address, or the /64 that an IPv6 customer has."""
        try:
            ip = ip_address(self.ip)
        except ValueError:
            return "unknown"
        if ip.version == 4:
            return str(ip)
        return str(ip.ipv4_mapped or ip_network((ip, 64), strict=False))


def client_info(connection: HTTPConnection) -> ClientInfo:
    """Return the client. Behind a trusted proxy, the IP address is the one that the proxy reports."""
    user_agent = connection.headers.get("user-agent", "")
    return ClientInfo(
        ip=(connection.client.host if connection.client else "")[:45],
        user_agent="".join(letter for letter in user_agent if letter.isprintable())[:200],
        request_id=connection.scope.get("request_id"),
    )


def get_cookie(connection: HTTPConnection, name: str) -> str | None:
    """Return the cookie's value; raises BadRequest if it was sent twice, which no browser does."""
    sent = ";".join(connection.headers.getlist("cookie")).split(";")
    if sum(part.strip().startswith(f"{name}=") for part in sent) > 1:
        raise BadRequest(f"The cookie {name} was sent more than once.")
    return connection.cookies.get(name)


def set_cookie(response: Response, name: str, value: str, max_age: int | None = None) -> None:
    """Set a cookie that is bound to this host, hidden from scripts and sent over TLS only.

    Without `max_age` (seconds) it lasts until the browser is closed. Browsers treat http://localhost as
    secure; on any other plain-HTTP address they refuse a cookie whose name starts with `__Host-`.
    """
    response.set_cookie(name, value, max_age, path="/", secure=True, httponly=True, samesite="lax")


def delete_cookie(response: Response, name: str) -> None:
    """Delete the cookie."""
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")
