"""How we ask providers: bounded in time and size, no redirects, nothing from the environment."""

from typing import Any

import httpx2

from app.core.bounded import Unreadable, read

SECONDS = 8
"""For everything that one step of a sign-in asks a provider."""
MOST = 512 * 1024

UNPACKED = ("content-encoding", "content-length", "transfer-encoding")


class Bounded(httpx2.AsyncBaseTransport):
    """Reads at most 512 KiB of an answer, decompressed. `inner` makes the connections."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The whole answer; HTTPError if it is too large, or leads elsewhere."""
        async with httpx2.AsyncHTTPTransport(trust_env=False, **self.options) as inner:
            response = await inner.handle_async_request(request)
            try:
                if 300 <= response.status_code < 400:
                    raise httpx2.UnsupportedProtocol("The provider redirects.", request=request)
                body = await read(response, MOST)
            except Unreadable as error:
                raise httpx2.DecodingError(str(error), request=request) from error
            finally:
                await response.aclose()
        kept = [(name, value) for name, value in response.headers.items() if name.lower() not in UNPACKED]
        return httpx2.Response(response.status_code, headers=kept, content=body, request=request)


def client_options(scope: str) -> dict[str, Any]:
    """For Authlib's clients; PKCE with S256 always."""
    return {
        "scope": scope,
        "code_challenge_method": "S256",
        "transport": Bounded(),
        "follow_redirects": False,
        "trust_env": False,
        "timeout": SECONDS,
    }
