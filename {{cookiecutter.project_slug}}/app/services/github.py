"""Reading GitHub for our users."""

from fastapi import Request, Response

from app.core.work import Work
from app.services import limits
from app.services.sessions import SignedIn
from app.upstreams.github import github


async def relay(work: Work, user: SignedIn, request: Request, path: str) -> Response:
    """GitHub's answer as it comes, for the paths that app/upstreams/github.py lists; else NotFound.

    The token's quota is shared by all users, so each of them may take a part of it: TooManyRequests.
    """
    await limits.costly(work, user)
    return await github.forward(request, path)
