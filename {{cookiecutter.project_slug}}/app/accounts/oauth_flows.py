"""Pending OAuth sign-ins.

Each is bound to a browser, a provider and (when linking) a session, and can be completed once.
"""

import re
from dataclasses import dataclass
from datetime import timedelta

from saaskit.oauth import OAuthProviders, SignInFailed
from saaskit.security import digest, new_token
from sqlalchemy import delete, func, insert, select

from app.accounts import audit, rate_limits
from app.accounts.context import AccountContext
from app.accounts.models import OAuthFlow

MAX_AGE = 600
"""Seconds."""
MAX_PER_BROWSER = 5
"""Two open tabs work; a flood of flows does not."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class FlowStart:
    """The provider's URL to navigate to, and the cookie that recognizes the browser when it returns."""

    url: str
    browser: str


async def start(
    account: AccountContext,
    oauth: OAuthProviders,
    provider: str,
    next_path: str,
    *,
    browser: str | None,
    session_id: int | None = None,
    reauthenticate: bool = False,
) -> FlowStart:
    """Start a flow; raises NotFound, TooManyRequests and BadGateway.

    `session_id` links the identity to that session's user. `reauthenticate` asks the provider to verify the
    user again.
    """
    await rate_limits.check_oauth_start(account)
    request = await oauth.authorize(provider, reauthenticate=reauthenticate)
    browser = browser if browser and _TOKEN.fullmatch(browser) else new_token()
    async with account.sessionmaker.begin() as db:
        await db.execute(
            insert(OAuthFlow).values(
                state_hash=digest(request.state),
                browser_hash=digest(browser),
                provider=provider,
                session_id=session_id,
                data={
                    "next": next_path,
                    "nonce": request.nonce,
                    "code_verifier": request.code_verifier,
                },
            )
        )
        same_browser = select(OAuthFlow.state_hash).where(OAuthFlow.browser_hash == digest(browser))
        oldest = same_browser.order_by(OAuthFlow.created_at.desc()).offset(MAX_PER_BROWSER)
        await db.execute(delete(OAuthFlow).where(OAuthFlow.state_hash.in_(oldest)))
    return FlowStart(request.url, browser)


async def complete(
    account: AccountContext, provider: str, params: list[tuple[str, str]], browser: str | None
) -> tuple[OAuthFlow, str]:
    """Delete and return the flow of these callback parameters, and its state; raises SignInFailed.

    The flow ends here, whether the provider's response is valid or not.
    """
    await rate_limits.check_network(account, "identity.throttled")
    response = dict(params)
    if not browser or not response.get("state") or len(response) < len(params):
        raise SignInFailed
    async with account.sessionmaker.begin() as db:
        owned = OAuthFlow.state_hash == digest(response["state"]), OAuthFlow.browser_hash == digest(browser)
        not_expired = OAuthFlow.created_at > func.now() - timedelta(seconds=MAX_AGE)
        found = (
            await db.execute(delete(OAuthFlow).where(*owned).returning(OAuthFlow, not_expired))
        ).one_or_none()
        flow, valid = found or (None, False)
        if flow and response.get("error"):
            # The error is not shown to the user: anyone could have written it.
            code = response["error"][:40]
            await audit.record(db, "identity.denied", account.client, None, provider=provider, error=code)
    if (
        not flow
        or not valid
        or flow.provider != provider
        or response.get("error")
        or not response.get("code")
    ):
        raise SignInFailed
    return flow, response["state"]
