"""/api/identities: the OAuth identities that can sign in as you."""

from fastapi import Response
from filerouter import operation
from saaskit.errors import BadGateway, Forbidden, NotFound, TooManyRequests
from saaskit.web import problems, set_cookie

from app.accounts import identities, oauth_flows
from app.accounts.browser import FLOW
from app.accounts.schemas import AuthorizationRedirect, IdentityList, LinkStart
from app.deps import Account, Cookies, CurrentUser, Db, OAuth, RecentUser


async def get(user: CurrentUser, db: Db) -> IdentityList:
    """List your identities."""
    return await identities.list_for_user(db, user)


@operation(responses=problems(Forbidden, NotFound, TooManyRequests, BadGateway))
async def post(
    form: LinkStart, user: RecentUser, account: Account, oauth: OAuth, cookies: Cookies, response: Response
) -> AuthorizationRedirect:
    """Link an identity. Navigate the browser to the returned `location`."""
    flow = await oauth_flows.start(
        account, oauth, form.provider, form.next, browser=cookies.flow, session_id=user.session_id
    )
    set_cookie(response, FLOW, flow.browser, oauth_flows.MAX_AGE)
    return AuthorizationRedirect(location=flow.url)
