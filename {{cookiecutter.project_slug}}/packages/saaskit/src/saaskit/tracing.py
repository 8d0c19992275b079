"""W3C trace context: one trace for everything that a request causes, with a new span for each call."""

import hashlib
import re
import secrets

__all__ = ["child_traceparent", "is_valid"]

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")


def is_valid(traceparent: str) -> bool:
    """Return whether the value is a `traceparent` header that we can continue."""
    return bool(_TRACEPARENT.fullmatch(traceparent))


def child_traceparent(parent: str, request_id: str) -> str:
    """Return a `traceparent` with a new span in the parent's trace.

    Without a valid parent, the trace id is derived from the request id.
    """
    if match := _TRACEPARENT.fullmatch(parent):
        trace_id, flags = match.groups()
    else:
        seed = request_id.encode() or secrets.token_bytes(16)
        trace_id, flags = hashlib.blake2b(seed, digest_size=16).hexdigest(), "00"
    return f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"
