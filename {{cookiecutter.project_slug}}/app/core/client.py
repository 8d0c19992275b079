"""Who is calling: address, browser, request id."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from starlette.requests import HTTPConnection


@dataclass(frozen=True)
class Client:
    """The other end of a request, as far as we can know it."""

    address: str
    user_agent: str
    request_id: str | None

    @property
    def network(self) -> str:
        """What limits count: the address, of IPv6 the /64 that one customer has."""
        try:
            address = ip_address(self.address)
        except ValueError:
            return "unknown"
        if address.version == 4:
            return str(address)
        mapped = address.ipv4_mapped
        return str(mapped or ip_network((address, 64), strict=False))


def client_of(connection: HTTPConnection) -> Client:
    """Read it from the connection. The address is the peer's, or what a named proxy says (app/main.py)."""
    agent = connection.headers.get("user-agent", "")
    return Client(
        address=(connection.client.host if connection.client else "")[:45],
        user_agent="".join(letter for letter in agent if letter.isprintable())[:200],
        request_id=connection.scope.get("request_id"),
    )
