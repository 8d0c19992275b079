"""The client of a request: IP address, user agent, request id."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from starlette.requests import HTTPConnection


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
