"""Calls to foreign APIs that end: in time, in bounds, and as a value or a problem. `docs/how-to` shows one.

    github = Upstream("github", base_url=settings.github_url, secret=settings.github_token)
    await github.get("/repos/{owner}/{name}", model=Repository, owner="python", name="cpython")   # typed
    return await github.forward(request, path)                                                    # streamed

client     Upstream
exchange   one call: breaker, retries (with a budget), failures as problems (answers)
line       the connections, and how many at once
relay      the answer as a stream
headers    what may cross, and the trace; paths: where a caller may lead us
outside    URLs that users name: only public addresses (guard)
"""

from app.core.upstream.client import REGISTRY, Upstream, opened
from app.core.upstream.limits import Limits

__all__ = ["REGISTRY", "Limits", "Upstream", "opened"]
