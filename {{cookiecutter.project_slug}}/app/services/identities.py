"""Signing in with an account elsewhere, and linking one.

Nobody is let into an existing account because an address matches: an identity is linked by who is
signed in to the account, and confirms it at the provider. A new account is made only for an address
that the provider says it has verified.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.client import Client
from app.core.cookies import Browser
from app.core.devices import Device
from app.core.errors import Conflict, Forbidden, NotFound
from app.core.identity.providers import refused
from app.core.secrets import digest
from app.core.work import Work
from app.models.identities import LinkedIdentity as Row
from app.models.passwords import Password
from app.models.sessions import Session
from app.models.users import User
from app.schemas.identities import Identity, IdentityList, ProviderInfo, ProviderList
from app.schemas.notices import Notice
from app.services import events, flows, notices, sessions, stored_tokens, users
from app.services.sessions import SignedIn
from app.services.sign_in import Started, begin

if TYPE_CHECKING:
    from app.core.identity.person import Person


@dataclass(frozen=True)
class Arrival:
    """Where to go on; `started` unless an identity was linked."""

    next: str
    started: Started | None


async def finish(work: Work, provider: str, params: list[tuple[str, str]], browser: Browser) -> Arrival:
    """Take the provider's answer. BadRequest for any that we do not believe, Conflict, UpstreamFailed."""
    flow, answer = await flows.end(work, provider, params, browser.flow)
    found = await work.providers.identify(provider, answer, flow.data)
    async with work.transaction() as db:
        if flow.session_id:
            await _link(db, work, provider, found, flow.session_id, browser.session)
            return Arrival(flow.data["next"], None)
        user = await _owner(db, found) or await _newcomer(db, work, provider, found)
        if kept := _kept(work, provider, found):
            mine = update(Row).where(Row.issuer == found.issuer, Row.subject == found.subject)
            await db.execute(mine.values(kept))
        if user.disabled_at:
            raise refused()
        known = Device(browser.device, work.settings)
        started = await begin(
            db, work, user, known, methods=["fed"], instead_of=browser.session, at=found.proved_at
        )
        return Arrival(flow.data["next"], started)


async def _owner(db: AsyncSession, found: "Person") -> User | None:
    mine = Row.issuer == found.issuer, Row.subject == found.subject
    return await db.scalar(select(User).join(Row, Row.user_id == User.id).where(*mine))


async def _newcomer(db: AsyncSession, work: Work, provider: str, found: "Person") -> User:
    """An account for somebody new; whoever loses a race of two first sign-ins gets the winner's."""
    if found.email is None:
        raise Forbidden(
            "The provider does not vouch for your e-mail address. Sign up here, then link the provider.",
            event="identity.unverified",
        )
    user = await users.add(db, found.email, found.name or "New user")
    if user is None:
        if user := await _owner(db, found):
            return user
        raise Conflict(
            "There is an account with this e-mail address. Sign in to it, then link the provider there.",
            event="identity.not_linked",
        )
    await events.record(db, "user.created", work.client, user.id, provider=provider)
    await _add(db, work, provider, found, user.id, user.email)
    return user


async def _link(
    db: AsyncSession, work: Work, provider: str, found: "Person", session_id: int, session: str | None
) -> None:
    """Add the identity to the user in whose session this began, if that is still this browser's."""
    same = Session.id == session_id, Session.token_hash == digest(session or ""), *sessions.ALIVE
    user = await db.scalar(select(User).join(Session, Session.user_id == User.id).where(*same))
    if user is None or user.disabled_at:
        raise refused()
    owner = await _owner(db, found)
    if owner and owner.id != user.id:
        text = "This identity belongs to another account."
        raise Conflict(text, event="identity.not_linked", user_id=user.id)
    if not owner:
        await _add(db, work, provider, found, user.id, user.email)


async def _add(
    db: AsyncSession, work: Work, provider: str, found: "Person", user_id: int, email: str
) -> None:
    values: dict[str, Any] = {
        "provider": provider,
        "issuer": found.issuer,
        "subject": found.subject,
        "email": found.email,
    }
    values |= _kept(work, provider, found)
    await db.execute(insert(Row).values(user_id=user_id, **values))
    await events.record(db, "identity.linked", work.client, user_id, provider=provider)
    await notices.tell(db, Notice(kind="identity_linked", email=email, facts={"provider": provider}))


def _kept(work: Work, provider: str, found: "Person") -> dict[str, Any]:
    """The columns of the provider's tokens, if its setting says so: those of the last sign-in are good."""
    keep = work.providers.setting(provider).keep_tokens and found.tokens
    return dict(stored_tokens.seal(work.settings, found.tokens)) if keep else {}


async def of_user(db: AsyncSession, user: SignedIn) -> IdentityList:
    """The user's identities, in the order in which they were linked."""
    rows = await db.scalars(select(Row).where(Row.user_id == user.id).order_by(Row.id))
    return IdentityList(items=[Identity.model_validate(row) for row in rows])


async def unlink(db: AsyncSession, user: SignedIn, client: Client, id: int) -> None:
    """Remove one of the user's identities; NotFound, and Conflict when no other way in is left."""
    await db.execute(select(User.id).where(User.id == user.id).with_for_update())
    gone = delete(Row).where(Row.id == id, Row.user_id == user.id).returning(Row.provider)
    provider = await db.scalar(gone)
    if provider is None:
        raise NotFound("There is no such identity.")
    others = (
        exists().where(Row.user_id == user.id),
        exists().where(Password.user_id == user.id),
    )
    if not await db.scalar(select(or_(*others))):
        raise Conflict("This is the only way into your account. Add another one first.")
    await events.record(db, "identity.unlinked", client, user.id, provider=provider)
    facts = {"provider": provider}
    await notices.tell(db, Notice(kind="identity_unlinked", email=user.email, facts=facts))


def offered(work: Work) -> ProviderList:
    """The providers of the settings."""
    known = work.settings.all_providers
    return ProviderList(
        items=[
            ProviderInfo(name=name, label=one.label or name.title(), url=f"/api/auth/login/{name}")
            for name, one in known.items()
        ]
    )
