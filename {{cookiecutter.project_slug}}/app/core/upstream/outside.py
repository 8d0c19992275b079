"""GET what a user's URL points to: an avatar, a provider's metadata. The project has no such URL yet.

For another method, as of a webhook, dial through the same guard: `AsyncConnectionPool(network_backend=...)`.
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin

import structlog

from app.core.errors import Unprocessable, UpstreamFailed, UpstreamLate
from app.core.upstream.limits import MIB

if TYPE_CHECKING:
    import httpcore2

    from app.core.upstream.guard import PublicOnly

log = structlog.get_logger(__name__)
SCHEMES = frozenset({"https", "http"})
MOST_REDIRECTS = 3
REFUSAL = "This address cannot be used: it must be a public http or https URL."


class Fetched(NamedTuple):
    """An answer of status 200 to 299; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def fetch(
    url: str,
    *,
    most: int = MIB,
    total: float = 10,
    redirects: int = 0,
    guard: "PublicOnly | None" = None,
) -> Fetched:
    """GET the URL without any credentials; redirects, if allowed, are three at most, checked like the first.

    Unprocessable for an address that we do not dial, always in the same words; 502 and 504 for what fails.
    """
    # Cost 0.2 s to import, and no answer waits for them before the first call.
    import httpcore2

    from app.core.upstream.guard import PublicOnly, Refused

    try:
        async with (
            asyncio.timeout(total),
            httpcore2.AsyncConnectionPool(network_backend=guard or PublicOnly()) as pool,
        ):
            fetched, redirects = await _get(pool, url, most), min(redirects, MOST_REDIRECTS)
            while 300 <= fetched.status < 400 and redirects > 0:
                redirects, url = redirects - 1, urljoin(url, fetched.headers.get("location", ""))
                fetched = await _get(pool, url, most)
    except TimeoutError:
        raise UpstreamLate("The address did not answer in time.") from None
    except (Refused, ValueError, httpcore2.UnsupportedProtocol):
        raise Unprocessable(REFUSAL) from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
        log.info("outside failed", error=type(error).__name__)
        raise UpstreamFailed("The address does not answer.") from None
    if not 200 <= fetched.status < 300:
        raise UpstreamFailed("The address answered with an error.")
    return fetched


async def _get(pool: "httpcore2.AsyncConnectionPool", url: str, most: int) -> Fetched:
    import httpcore2
    import httpx2

    try:
        parts = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ValueError from error
    if parts.scheme not in SCHEMES or not parts.host or parts.userinfo:
        raise ValueError("url")
    asked = httpcore2.URL(
        scheme=parts.raw_scheme, host=parts.raw_host, port=parts.port, target=parts.raw_path
    )
    headers = [(b"host", parts.netloc), (b"accept-encoding", b"identity"), (b"user-agent", b"saas-starter")]
    times = {"connect": 2.0, "read": 5.0, "write": 5.0, "pool": 2.0}
    async with pool.stream("GET", asked, headers=headers, extensions={"timeout": times}) as response:
        body = bytearray()
        async with aclosing(response.aiter_stream()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > most:
                    raise UpstreamFailed("The address answered more than may be read.")
        named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        return Fetched(response.status, named, bytes(body))
