"""GET /api/auth/login/google?next=/welcome: sign in with an account elsewhere."""

from typing import Annotated

from fastapi import Path, Query
from fastapi.responses import RedirectResponse

from app.core import cookies
from app.core.errors import NotFound, TooManyRequests, UpstreamFailed
from app.core.problems import problems
from app.deps import Browser, Work
from app.schemas.identities import Next, ProviderName
from app.services import flows
from filerouter import RouteConfig, operation

config = RouteConfig(public=True, responses=problems(NotFound, TooManyRequests, UpstreamFailed))


@operation(status_code=303, response_class=RedirectResponse)
async def get(
    provider: Annotated[ProviderName, Path()], query: Annotated[Next, Query()], work: Work, browser: Browser
) -> RedirectResponse:
    """Go to the provider, which sends the browser back to `/api/auth/callback/{provider}`."""
    again = browser.session is not None
    leaving = await flows.begin(work, provider, query.next, browser=browser.flow, again=again)
    answer = RedirectResponse(leaving.url, 303)
    cookies.put(answer, cookies.FLOW, leaving.browser, flows.SECONDS)
    return answer
