"""Which headers may cross, by list in both directions. What is not named here stays where it is.

Nothing hop-by-hop is on a list, nor anything that says who the caller is: cookies, authorization, addresses.
"""

from collections.abc import Iterable, Mapping

import structlog

from app.core.trace import traceparent

REQUEST = frozenset(
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
ANSWER = frozenset(
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


def outgoing(given: Mapping[str, str], allowed: Iterable[str]) -> dict[str, str]:
    """Of a caller's headers those that may leave."""
    listed = set(given.get("connection", "").lower().replace(" ", "").split(","))
    kept = {name: given[name] for name in allowed if name in given and name not in listed}
    return {"accept-encoding": "identity"} | kept


def incoming(given: Iterable[tuple[bytes, bytes]], allowed: Iterable[str]) -> list[tuple[bytes, bytes]]:
    """Of an upstream's headers those that may come back, byte by byte. Private: our secret fetched it."""
    listed = {name.encode() for name in allowed}
    kept = [(name.lower(), value) for name, value in given if name.lower() in listed]
    if any(name in (b"etag", b"last-modified") for name, _ in kept):
        kept.append((b"cache-control", b"private, no-cache"))
    return kept


def tracing() -> dict[str, str]:
    """Request id and trace of the request or job that is being served."""
    from opentelemetry import propagate  # loads plug-ins, which the first answer need not wait for

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    context = structlog.contextvars.get_contextvars()
    request_id = str(context.get("request_id") or "")
    carrier.setdefault("traceparent", traceparent(str(context.get("traceparent") or ""), request_id))
    return carrier | ({"x-request-id": request_id} if request_id else {})
