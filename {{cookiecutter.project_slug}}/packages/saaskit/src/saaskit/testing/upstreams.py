"""Settings for tests that must not call real upstreams."""

from saaskit.settings import UpstreamSettings
from saaskit.upstream.client import declared


def closed_upstreams() -> dict[str, UpstreamSettings]:
    """Return `Settings.upstreams` under which every declared upstream refuses connections."""
    return {name: UpstreamSettings(base_url="http://127.0.0.1:1") for name in declared}
