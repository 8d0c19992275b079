"""GitHub's REST API: the paths that users may read through us.

`UPSTREAMS__GITHUB__SECRET` sets a token. All users read with it, so give it access to public data only.
"""

from saaskit.upstream import Upstream

github = Upstream(
    "github",
    base_url="https://api.github.com",
    send={"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"},
    allow=(
        "GET /users/{user}",
        "GET /repos/{owner}/{name}",
        "GET /repos/{owner}/{name}/releases",
        "GET /repos/{owner}/{name}/readme",
    ),
    also_return=("link", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
)
