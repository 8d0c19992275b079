"""Calls to external APIs, with limits on time, size and concurrency. `docs/how-to` has an example.

    github = Upstream("github", base_url="https://api.github.com", allow=("GET /repos/{owner}/{name}",))

    async with upstream.connect(settings):  # in the lifespan
        await github.get("/repos/{owner}/{name}", model=Repository, owner="python", name="cpython")
        return await github.forward(request, path)  # streamed

client     Upstream; `connect`: base URLs and secrets from the settings; `readiness`
transport  one call: breaker, retries within a budget, errors as problems
breaker    refuses calls to an upstream that fails
pool       connections, limited in number
proxy      forwarding: which paths and headers may cross, and the streamed response
ssrf       `fetch_public_url`, for URLs that come from users
"""

from saaskit.upstream.client import Upstream, connect, readiness
from saaskit.upstream.pool import Limits
from saaskit.upstream.ssrf import PublicAddressBackend, fetch_public_url

__all__ = ["Limits", "PublicAddressBackend", "Upstream", "connect", "fetch_public_url", "readiness"]
