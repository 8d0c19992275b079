"""/api/identities: the accounts elsewhere that may sign in as you."""

from fastapi import Response

from app.core import cookies
from app.core.errors import Forbidden, NotFound, TooManyRequests, UpstreamFailed
from app.core.problems import problems
from app.deps import Browser, CurrentUser, Db, FreshUser, Work
from app.schemas.identities import Departure, IdentityList, LinkStart
from app.services import flows, identities
from filerouter import operation


async def get(user: CurrentUser, db: Db) -> IdentityList:
    """List your identities."""
    return await identities.of_user(db, user)


@operation(responses=problems(Forbidden, NotFound, TooManyRequests, UpstreamFailed))
async def post(
    form: LinkStart, user: FreshUser, work: Work, browser: Browser, response: Response
) -> Departure:
    """Link another: send the browser to the answer's `location`."""
    leaving = await flows.begin(
        work, form.provider, form.next, browser=browser.flow, session_id=user.session_id
    )
    cookies.put(response, cookies.FLOW, leaving.browser, flows.SECONDS)
    return Departure(location=leaving.url)
