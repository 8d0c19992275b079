"""Calls to external APIs, with limits on time, size and concurrency. `docs/how-to` has an example.

    github = Upstream("github", base_url="https://api.github.com", allow=("GET /repos/{owner}/{name}",))

    async with upstream.connect(settings):  # in the lifespan
        await github.get("/repos/{owner}/{name}", model=Repository, owner="python", name="cpython")
        return await github.forward(request, path)  # streamed

client     Upstream; `connect`: base URLs and secrets from the settings; `readiness`
rules      which requests and headers may cross; limits on time, size and concurrency
transport  connections, retries within a budget, errors as problems
breaker    refuses calls to an upstream that fails
proxy      the streamed response of a forwarded request
ssrf       `fetch_public_url`, for URLs that come from users
"""

from saaskit.upstream.client import Upstream, connect, readiness
from saaskit.upstream.rules import Limits
from saaskit.upstream.ssrf import PublicAddressBackend, fetch_public_url

__all__ = ["Limits", "PublicAddressBackend", "Upstream", "connect", "fetch_public_url", "readiness"]
