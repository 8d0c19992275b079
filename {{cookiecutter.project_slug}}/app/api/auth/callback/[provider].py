"""GET /api/auth/callback/google: the provider sends the browser back here."""

from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import RedirectResponse
from filerouter import RouteConfig, operation
from saaskit.errors import BadGateway, Conflict, Forbidden, NotFound, TooManyRequests
from saaskit.web import problems

from app.accounts import identities
from app.accounts.browser import set_session
from app.accounts.schemas import ProviderName
from app.deps import Account, Cookies, OAuth

config = RouteConfig(
    public=True, responses=problems(Conflict, Forbidden, NotFound, TooManyRequests, BadGateway)
)


@operation(status_code=303, response_class=RedirectResponse)
async def get(
    provider: Annotated[ProviderName, Path()],
    request: Request,
    account: Account,
    oauth: OAuth,
    cookies: Cookies,
) -> RedirectResponse:
    """Complete a sign-in with a provider, or link an identity."""
    params = request.query_params.multi_items()
    result = await identities.complete(account, oauth, provider, params, cookies)
    response = RedirectResponse(result.next, 303)
    if result.session:
        set_session(response, result.session)
    return response
