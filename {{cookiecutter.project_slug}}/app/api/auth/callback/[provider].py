"""GET /api/auth/callback/google: back from the provider. Our cookies would not come with a POST."""

from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import RedirectResponse

from app.core.errors import Conflict, Forbidden, NotFound, TooManyRequests, UpstreamFailed
from app.core.problems import problems
from app.deps import Browser, Work
from app.schemas.identities import ProviderName
from app.services import identities
from filerouter import RouteConfig, operation

_REFUSALS = problems(Conflict, Forbidden, NotFound, TooManyRequests, UpstreamFailed)
config = RouteConfig(public=True, responses=_REFUSALS)


@operation(status_code=303, response_class=RedirectResponse)
async def get(
    provider: Annotated[ProviderName, Path()], request: Request, work: Work, browser: Browser
) -> RedirectResponse:
    """Finish a sign-in, or the linking of an identity."""
    params = request.query_params.multi_items()
    arrival = await identities.finish(work, provider, params, browser)
    answer = RedirectResponse(arrival.next, 303)
    if arrival.started:
        arrival.started.keep(answer)
    return answer
