"""Signing in with an OAuth provider, and linking providers to an account.

A matching e-mail address never gives access to an existing account: a user links an identity while signed in,
and confirms it at the provider. A new account is only created for an address that the provider has verified.
"""

from dataclasses import dataclass
from typing import Any

from saaskit.errors import Conflict, Forbidden, NotFound
from saaskit.jobs import enqueue
from saaskit.oauth import ExternalIdentity, OAuthProviders, SignInFailed
from saaskit.security import digest
from saaskit.web import ClientInfo
from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import audit, oauth_flows, provider_tokens, schemas, sessions, users
from app.accounts.browser import BrowserCookies, Device, NewSession
from app.accounts.context import AccountContext
from app.accounts.emails import NoticeEmail
from app.accounts.models import LinkedIdentity, Password, Session, User
from app.accounts.sessions import AuthenticatedUser
from app.accounts.sign_in import start_session


@dataclass(frozen=True)
class OAuthResult:
    """Where to redirect, and the new session unless an identity was linked."""

    next: str
    session: NewSession | None


async def complete(
    account: AccountContext,
    oauth: OAuthProviders,
    provider: str,
    params: list[tuple[str, str]],
    browser: BrowserCookies,
) -> OAuthResult:
    """Complete a sign-in or a link with the provider's callback.

    Raises SignInFailed for a response that is not trusted, Conflict, Forbidden and BadGateway.
    """
    flow, flow_state = await oauth_flows.complete(account, provider, params, browser.flow)
    identity = await oauth.identify(
        provider,
        params,
        state=flow_state,
        code_verifier=flow.data["code_verifier"],
        nonce=flow.data["nonce"],
    )
    tokens = _tokens_to_keep(account, oauth, provider, identity)
    async with account.sessionmaker.begin() as db:
        if flow.session_id:
            await _link(db, account, provider, identity, tokens, flow.session_id, browser.session)
            return OAuthResult(flow.data["next"], None)
        user = await _find_user(db, identity) or await _create_user(db, account, provider, identity, tokens)
        if tokens:
            await db.execute(update(LinkedIdentity).where(*_is(identity)).values(tokens))
        if user.disabled_at:
            raise SignInFailed
        session = await start_session(
            db,
            account,
            user,
            Device(browser.device, account.settings),
            methods=["fed"],
            replaces=browser.session,
            signed_in_at=identity.authenticated_at,
        )
        return OAuthResult(flow.data["next"], session)


async def list_for_user(db: AsyncSession, user: AuthenticatedUser) -> schemas.IdentityList:
    """Return the user's identities in the order in which they were linked."""
    rows = select(LinkedIdentity).where(LinkedIdentity.user_id == user.id).order_by(LinkedIdentity.id)
    return schemas.IdentityList(
        items=[schemas.Identity.model_validate(row) for row in await db.scalars(rows)]
    )


async def unlink(db: AsyncSession, user: AuthenticatedUser, client: ClientInfo, identity_id: int) -> None:
    """Remove one of the user's identities; raises NotFound, and Conflict for the last way to sign in."""
    await db.execute(select(User.id).where(User.id == user.id).with_for_update())
    owned = LinkedIdentity.id == identity_id, LinkedIdentity.user_id == user.id
    provider = await db.scalar(delete(LinkedIdentity).where(*owned).returning(LinkedIdentity.provider))
    if provider is None:
        raise NotFound("There is no such identity.")
    identity, password = (
        exists().where(LinkedIdentity.user_id == user.id),
        exists().where(Password.user_id == user.id),
    )
    if not await db.scalar(select(or_(identity, password))):
        raise Conflict("This is the only way to sign in to your account. Add another one first.")
    await audit.record(db, "identity.unlinked", client, user.id, provider=provider)
    await enqueue(
        db, NoticeEmail(template="identity_unlinked", email=user.email, values={"provider": provider})
    )


def _is(identity: ExternalIdentity) -> tuple[Any, ...]:
    return LinkedIdentity.issuer == identity.issuer, LinkedIdentity.subject == identity.subject


async def _find_user(db: AsyncSession, identity: ExternalIdentity) -> User | None:
    linked = select(User).join(LinkedIdentity, LinkedIdentity.user_id == User.id)
    return await db.scalar(linked.where(*_is(identity)))


async def _create_user(
    db: AsyncSession,
    account: AccountContext,
    provider: str,
    identity: ExternalIdentity,
    tokens: dict[str, Any],
) -> User:
    """Create an account for a new identity. Of two concurrent first sign-ins, both get the same account."""
    if identity.email is None:
        raise Forbidden(
            "The provider has not verified your e-mail address. Sign up here, then link the provider.",
            event="identity.unverified",
        )
    user = await users.add(db, identity.email, identity.name or "New user")
    if user is None:
        if user := await _find_user(db, identity):
            return user
        raise Conflict(
            "There is an account with this e-mail address. Sign in to it, then link the provider there.",
            event="identity.not_linked",
        )
    await audit.record(db, "user.created", account.client, user.id, provider=provider)
    await _add(db, account, provider, identity, tokens, user)
    return user


async def _link(
    db: AsyncSession,
    account: AccountContext,
    provider: str,
    identity: ExternalIdentity,
    tokens: dict[str, Any],
    session_id: int,
    session_token: str | None,
) -> None:
    """Add the identity to the user who started the flow, if the browser still has that session."""
    same = Session.id == session_id, Session.token_hash == digest(session_token or ""), *sessions.IS_ACTIVE
    user = await db.scalar(select(User).join(Session, Session.user_id == User.id).where(*same))
    if user is None or user.disabled_at:
        raise SignInFailed
    owner = await _find_user(db, identity)
    if owner and owner.id != user.id:
        raise Conflict(
            "This identity belongs to another account.", event="identity.not_linked", user_id=user.id
        )
    if not owner:
        await _add(db, account, provider, identity, tokens, user)


async def _add(
    db: AsyncSession,
    account: AccountContext,
    provider: str,
    identity: ExternalIdentity,
    tokens: dict[str, Any],
    user: User,
) -> None:
    await db.execute(
        insert(LinkedIdentity).values(
            user_id=user.id,
            provider=provider,
            issuer=identity.issuer,
            subject=identity.subject,
            email=identity.email,
            **tokens,
        )
    )
    await audit.record(db, "identity.linked", account.client, user.id, provider=provider)
    await enqueue(
        db, NoticeEmail(template="identity_linked", email=user.email, values={"provider": provider})
    )


def _tokens_to_keep(
    account: AccountContext, oauth: OAuthProviders, provider: str, identity: ExternalIdentity
) -> dict[str, Any]:
    """Return the columns of the provider's encrypted tokens; none unless `keep_tokens` is set."""
    if not (oauth.settings(provider).keep_tokens and identity.tokens):
        return {}
    return dict(provider_tokens.encrypt(account.settings, identity.tokens))
