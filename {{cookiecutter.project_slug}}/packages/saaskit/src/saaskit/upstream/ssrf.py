"""GET a URL that comes from a user, such as an avatar, without access to private networks (SSRF).

The check is made where the connection is opened, so that nothing can change in between: the name is resolved,
every address is checked, and one of the checked addresses is dialled. Redirects are checked in the same way.

For other methods, as of a webhook: `httpcore2.AsyncConnectionPool(network_backend=PublicAddressBackend())`.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin

import structlog

from saaskit.errors import BadGateway, GatewayTimeout, Unprocessable
from saaskit.upstream.client import current
from saaskit.upstream.rules import MIB

if TYPE_CHECKING:
    import httpcore2
    from httpcore2 import AsyncNetworkBackend
else:
    AsyncNetworkBackend = object  # httpcore2 takes 0.3 s to import, and it accepts any class

log = structlog.get_logger(__name__)
SCHEMES = frozenset({"https", "http"})
PORTS = frozenset({80, 443})
MAX_REDIRECTS = 3
NOT_PUBLIC_MESSAGE = "This URL cannot be used: it must be a public http or https URL."
# All of the public IPv6 internet. Most forms that embed an IPv4 address are outside of it.
_UNICAST = ipaddress.ip_network("2000::/3")
# 6to4 and its relays, Teredo; and a documentation network that is newer than Python's own list.
_NOT_PUBLIC = [
    ipaddress.ip_network(network) for network in ("2002::/16", "192.88.99.0/24", "2001::/32", "3fff::/20")
]


class FetchedResponse(NamedTuple):
    """A response with a status from 200 to 299. Header names are not case-sensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotPublic(Exception):
    """The port or address is not allowed."""


def is_public(address: str) -> bool:
    """Return whether the IP address belongs to the public internet."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped))
        if ip.scope_id or ip not in _UNICAST:
            return False
    listed = any(ip in network for network in _NOT_PUBLIC)
    return ip.is_global and not ip.is_multicast and not listed


class PublicAddressBackend(AsyncNetworkBackend):
    """A network backend for httpcore2 that connects only to allowed ports of public addresses.

    `is_allowed` decides about one IP address. Raises NotPublic.
    """

    def __init__(self, ports: Iterable[int] = PORTS, is_allowed: Callable[[str], bool] = is_public) -> None:
        from httpcore2 import AnyIOBackend

        self.ports, self.is_allowed = frozenset(ports), is_allowed
        self._backend: AsyncNetworkBackend = AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (the signature is httpcore2's)
        *args: Any,
        **kwargs: Any,
    ) -> "httpcore2.AsyncNetworkStream":
        """Resolve the host, check all of its addresses, and connect to the first."""
        import httpcore2

        if port not in self.ports:
            raise NotPublic("port")
        if "%" in host:  # the zone of a link-local address, which not every resolver accepts
            raise NotPublic("zone")
        try:
            async with asyncio.timeout(timeout):
                loop = asyncio.get_running_loop()
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError from error
        addresses = [str(address[4][0]) for address in found]
        if not addresses or not all(map(self.is_allowed, addresses)):
            raise NotPublic("address")
        return await self._backend.connect_tcp(addresses[0], port, timeout, *args, **kwargs)

    async def connect_unix_socket(self, *_: Any, **__: Any) -> "httpcore2.AsyncNetworkStream":
        """Refuse: a path is not a public address."""
        raise NotPublic("unix socket")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


async def fetch_public_url(
    url: str,
    *,
    limit: int = MIB,
    timeout: float = 10,  # noqa: ASYNC109 (it covers all redirects, and has a problem of its own)
    redirects: int = 0,
    backend: PublicAddressBackend | None = None,
) -> FetchedResponse:
    """GET the URL without any credentials and return at most `limit` bytes. At most 3 redirects are followed.

    Raises Unprocessable, always with the same message, for a URL that is not public; BadGateway and
    GatewayTimeout for a request that fails. Must be called within `connect`.
    """
    # Takes 0.3 s to import, which is not needed before the first call.
    import httpcore2

    try:
        async with (
            asyncio.timeout(timeout),
            httpcore2.AsyncConnectionPool(network_backend=backend or PublicAddressBackend()) as pool,
        ):
            response, left = await _get(pool, url, limit), min(redirects, MAX_REDIRECTS)
            while 300 <= response.status < 400 and left > 0:
                left, url = left - 1, urljoin(url, response.headers.get("location", ""))
                response = await _get(pool, url, limit)
    except TimeoutError:
        raise GatewayTimeout("The URL did not respond in time.") from None
    except (NotPublic, ValueError, httpcore2.UnsupportedProtocol):
        raise Unprocessable(NOT_PUBLIC_MESSAGE) from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
        log.info("public URL failed", error=type(error).__name__)
        raise BadGateway("The connection to the URL failed.") from None
    if not 200 <= response.status < 300:
        raise BadGateway("The URL returned an error.")
    return response


async def _get(pool: "httpcore2.AsyncConnectionPool", url: str, limit: int) -> FetchedResponse:
    import httpcore2
    import httpx2

    try:
        parts = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ValueError from error
    if parts.scheme not in SCHEMES or not parts.host or parts.userinfo:
        raise ValueError("url")
    target = httpcore2.URL(
        scheme=parts.raw_scheme, host=parts.raw_host, port=parts.port, target=parts.raw_path
    )
    user_agent = current().user_agent.encode()
    headers = [(b"host", parts.netloc), (b"accept-encoding", b"identity"), (b"user-agent", user_agent)]
    timeouts = {"connect": 2.0, "read": 5.0, "write": 5.0, "pool": 2.0}
    async with pool.stream("GET", target, headers=headers, extensions={"timeout": timeouts}) as response:
        body = bytearray()
        async with aclosing(response.aiter_stream()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > limit:
                    raise BadGateway("The URL returned a response that is too large.")
        return FetchedResponse(response.status, httpx2.Headers(response.headers), bytes(body))
