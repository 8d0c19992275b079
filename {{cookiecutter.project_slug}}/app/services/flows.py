"""Sign-ins on their way: each knows its browser, its provider and, to link, its session; each ends once."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select

from app.core.identity.providers import refused
from app.core.secrets import digest, new_token
from app.core.work import Work
from app.models.identities import Flow
from app.services import events, limits

SECONDS = 600
MOST = 5
"""Open at once in one browser: two tabs work, a flood does not."""
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Leaving:
    """Where the browser goes, and the cookie by which it is known when it returns."""

    url: str
    browser: str


async def begin(
    work: Work,
    provider: str,
    next: str,
    *,
    browser: str | None,
    session_id: int | None = None,
    again: bool = False,
) -> Leaving:
    """Note down what was sent to the provider. NotFound, TooManyRequests, UpstreamFailed."""
    await work.throttle.hit([(limits.START, work.client.network)], "identity.throttled")
    sent = await work.providers.authorize(provider, again=again)
    browser = browser if browser and TOKEN.fullmatch(browser) else new_token()
    async with work.transaction() as db:
        kept = {"next": next, "nonce": sent.get("nonce"), "code_verifier": sent["code_verifier"]}
        values = {"state_hash": digest(sent["state"]), "browser_hash": digest(browser), "data": kept}
        await db.execute(insert(Flow).values(provider=provider, session_id=session_id, **values))
        mine = select(Flow.state_hash).where(Flow.browser_hash == digest(browser))
        oldest = mine.order_by(Flow.created_at.desc()).offset(MOST)
        await db.execute(delete(Flow).where(Flow.state_hash.in_(oldest)))
    return Leaving(sent["url"], browser)


async def end(
    work: Work, provider: str, params: list[tuple[str, str]], browser: str | None
) -> tuple[Flow, dict[str, str]]:
    """The flow that this answer belongs to; it ends here, whatever the answer says. BadRequest."""
    await limits.client(work, "identity.throttled")
    answer = dict(params)
    if not browser or not answer.get("state") or len(answer) < len(params):
        raise refused()
    async with work.transaction() as db:
        mine = Flow.state_hash == digest(answer["state"]), Flow.browser_hash == digest(browser)
        is_young = Flow.created_at > func.now() - timedelta(seconds=SECONDS)
        found = (await db.execute(delete(Flow).where(*mine).returning(Flow, is_young))).one_or_none()
        flow, young = found or (None, False)
        if flow and answer.get("error"):
            # The provider's own words are not shown: anybody could have written them.
            facts: dict[str, Any] = {"provider": provider, "error": answer["error"][:40]}
            await events.record(db, "identity.denied", work.client, None, **facts)
    if not flow or not young or flow.provider != provider or answer.get("error") or not answer.get("code"):
        raise refused()
    return flow, answer
