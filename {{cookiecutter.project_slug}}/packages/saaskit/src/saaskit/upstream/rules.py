"""The rules of an upstream: limits on time, size and concurrency; requests and headers that may cross."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.routing import compile_path

from saaskit.errors import NotFound

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Limits for the calls to one upstream. Times are in seconds, sizes in bytes."""

    connect: float = 1
    read: float = 5
    """Longest silence before and within a response."""
    pool: float = 0.5
    """Longest wait for one of the `concurrency` connections; then 503."""
    total: float = 10
    """Time for a call with all its retries; for a forwarded request, until the response headers."""
    stream: float = 300
    """Time for a forwarded response, from first to last byte. Event streams have neither this limit nor
    `stream_bytes`: they end when the client disconnects or at `idle`, and use a connection until then."""
    idle: float = 60
    """Longest silence in a forwarded event stream."""
    concurrency: int = 50
    retries: int = 2
    request_bytes: int = MIB
    """Size of a forwarded request body."""
    response_bytes: int = 5 * MIB
    """Size of a typed response, after decompression."""
    stream_bytes: int = 1024 * MIB
    """Size of a forwarded response, without decompression."""
    buffer_bytes: int = MIB // 4
    """Receive buffer of a connection, in the kernel. It limits the memory that a forwarded response takes,
    and its speed: to this size per round-trip time."""


# Only listed headers cross. No hop-by-hop header is listed, and none that identifies the caller, such as
# cookies, authorization and addresses.
REQUEST_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "content-type",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "last-event-id",
        "range",
    }
)
RESPONSE_HEADERS = frozenset(
    {
        "accept-ranges",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-type",
        "etag",
        "last-modified",
        "vary",
    }
)


class ForwardRules:
    """Requests (`"GET /repos/{owner}/{name}"`; GET includes HEAD) and headers that may be forwarded."""

    def __init__(
        self, allow: Iterable[str], also_send: Iterable[str] = (), also_return: Iterable[str] = ()
    ) -> None:
        self._allowed = [(method, compile_path(path)[0]) for method, path in map(str.split, allow)]
        self._request_headers = REQUEST_HEADERS | {name.lower() for name in also_send}
        self._response_headers = {name.lower().encode() for name in RESPONSE_HEADERS.union(also_return)}

    def segments(self, method: str, path: str) -> list[str]:
        """Return the segments of a path without leading slash. Raises NotFound if no rule allows it."""
        method = "GET" if method == "HEAD" else method
        if not any(method == allowed and pattern.match(f"/{path}") for allowed, pattern in self._allowed):
            raise NotFound
        return path.split("/")

    def request_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the caller's headers that may be sent to the upstream."""
        hop_by_hop = headers.get("connection", "").lower().replace(" ", "").split(",")
        names = self._request_headers.difference(hop_by_hop)
        return {"accept-encoding": "identity"} | {name: headers[name] for name in names if name in headers}

    def response_headers(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Return the upstream's headers that may be returned, with their bytes unchanged."""
        lowered = [(name.lower(), value) for name, value in headers]
        kept = [(name, value) for name, value in lowered if name in self._response_headers]
        if any(name in (b"etag", b"last-modified") for name, _ in kept):
            # Our secret was used for it, so shared caches must not store it.
            kept.append((b"cache-control", b"private, no-cache"))
        return kept
