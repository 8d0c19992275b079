"""Tools for a product's tests."""

from saaskit.testing.passwords import cheap_password_hashes
from saaskit.testing.upstream_server import (
    ReceivedRequest,
    UpstreamServer,
    delayed,
    flood,
    gzipped,
    raw,
    reset,
    respond,
    response_head,
    sequence,
    upstream_server,
)
from saaskit.testing.upstreams import closed_upstreams

__all__ = [
    "ReceivedRequest",
    "UpstreamServer",
    "cheap_password_hashes",
    "closed_upstreams",
    "delayed",
    "flood",
    "gzipped",
    "raw",
    "reset",
    "respond",
    "response_head",
    "sequence",
    "upstream_server",
]
