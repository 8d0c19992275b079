"""GET /api/auth/login/google?next=/welcome: sign in with a provider."""

from typing import Annotated

from fastapi import Path, Query
from fastapi.responses import RedirectResponse
from filerouter import RouteConfig, operation
from saaskit.errors import BadGateway, NotFound, TooManyRequests
from saaskit.web import problems, set_cookie

from app.accounts import oauth_flows
from app.accounts.browser import FLOW
from app.accounts.schemas import OAuthStart, ProviderName
from app.deps import Account, Cookies, OAuth

config = RouteConfig(public=True, responses=problems(NotFound, TooManyRequests, BadGateway))


@operation(status_code=303, response_class=RedirectResponse)
async def get(
    provider: Annotated[ProviderName, Path()],
    query: Annotated[OAuthStart, Query()],
    account: Account,
    oauth: OAuth,
    cookies: Cookies,
) -> RedirectResponse:
    """Redirect to the provider, which sends the browser back to `/api/auth/callback/{provider}`."""
    signed_in = cookies.session is not None
    flow = await oauth_flows.start(
        account, oauth, provider, query.next, browser=cookies.flow, reauthenticate=signed_in
    )
    response = RedirectResponse(flow.url, 303)
    set_cookie(response, FLOW, flow.browser, oauth_flows.MAX_AGE)
    return response
