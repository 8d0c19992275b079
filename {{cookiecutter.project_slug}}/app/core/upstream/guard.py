"""Only public addresses: the guard for URLs that users name (SSRF).

It stands where the connection is made, so that nothing can change between the check and the dialling: the
name is resolved, every address that comes back is judged, one of them is dialled. A redirect dials again.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Any

import httpcore2

PORTS = frozenset({80, 443})
# All that is assigned to the internet of IPv6. What carries an IPv4 address inside lies mostly elsewhere.
_UNICAST = ipaddress.ip_network("2000::/3")
# 6to4 and its relays, Teredo; and what is for books only, and newer than Python's own list.
_NOT_PUBLIC = [
    ipaddress.ip_network(network) for network in ("2002::/16", "192.88.99.0/24", "2001::/32", "3fff::/20")
]


class Refused(Exception):
    """Not an address that we dial for somebody else."""


def is_public(address: str) -> bool:
    """Whether it is an address of the public internet, in its plain form."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return is_public(str(found.ipv4_mapped))
        if found.scope_id or found not in _UNICAST:
            return False
    listed = any(found in network for network in _NOT_PUBLIC)
    return found.is_global and not found.is_multicast and not listed


class PublicOnly(httpcore2.AsyncNetworkBackend):
    """Dials nothing but public addresses, at allowed ports."""

    def __init__(self, ports: Iterable[int] = PORTS, judge: Callable[[str], bool] = is_public) -> None:
        self.ports, self.judge = frozenset(ports), judge
        self.backend: httpcore2.AsyncNetworkBackend = httpcore2.AnyIOBackend()  # type: ignore[assignment]

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore2 calls it so)
        *rest: Any,
        **options: Any,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve, judge, dial."""
        if port not in self.ports:
            raise Refused("port")
        if "%" in host:  # the zone of a link-local address; not every resolver takes it
            raise Refused("zone")
        try:
            async with asyncio.timeout(timeout):
                loop = asyncio.get_running_loop()
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError from error
        addresses = [str(address[4][0]) for address in found]
        if not addresses or not all(map(self.judge, addresses)):
            raise Refused("address")
        return await self.backend.connect_tcp(addresses[0], port, timeout, *rest, **options)

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        """Refuse: a path is no public address."""
        raise Refused("unix socket")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
