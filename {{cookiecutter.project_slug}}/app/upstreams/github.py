"""GitHub's REST API, passed through to our callers: these paths, and reading only."""

from app.core.upstream import Upstream
from app.settings import get_settings

github = Upstream(
    "github",
    base_url=get_settings().github_url,
    secret=get_settings().github_token,
    send={"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"},
    allow=(
        "GET /users/{user}",
        "GET /repos/{owner}/{name}",
        "GET /repos/{owner}/{name}/releases",
        "GET /repos/{owner}/{name}/readme",
    ),
    also_return=("link", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
)
