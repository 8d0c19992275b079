"""Reading GitHub for our callers."""

from fastapi import Request, Response

from app.upstreams.github import github


async def relay(request: Request, path: str) -> Response:
    """GitHub's answer as it comes, for the paths that app/upstreams/github.py lists; else NotFound."""
    return await github.forward(request, path)
