"""W3C trace context: one trace for all that a request sets off, a span of its own for each call."""

import hashlib
import re
import secrets

_FORM = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")


def valid(value: str) -> bool:
    """Whether a caller's `traceparent` can be carried on."""
    return bool(_FORM.fullmatch(value))


def traceparent(parent: str, request_id: str) -> str:
    """The parent's trace, else one that follows from the request's id, with a new span."""
    if found := _FORM.fullmatch(parent):
        trace, flags = found.groups()
    else:
        seed = request_id.encode() or secrets.token_bytes(16)
        trace, flags = hashlib.blake2b(seed, digest_size=16).hexdigest(), "00"
    return f"00-{trace}-{secrets.token_hex(8)}-{flags}"
