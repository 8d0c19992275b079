"""Accounts with a password: asked for, confirmed."""

from sqlalchemy.dialects.postgresql import insert

from app.core import passwords
from app.core.secrets import digest
from app.core.work import Work
from app.models.passwords import Password
from app.schemas.notices import SignUpNotice
from app.schemas.passwords import SignUp, SignUpConfirmation
from app.schemas.users import User
from app.services import events, limits, notices, tokens, users


async def ask(work: Work, form: SignUp) -> None:
    """Keep what was asked for until the mailbox confirms it; the same work for every address."""
    await limits.client(work, "sign_up.throttled")
    secret = form.password.get_secret_value()
    await passwords.check(secret, about=[form.email, form.name, work.settings.public_url])
    hashed = await passwords.hash_password(secret)
    if not await limits.may_mail(work, form.email):
        return
    # Of each network its own: nobody elsewhere can end the link that the mailbox's owner was sent.
    subject = f"{form.email} {digest(work.client.network).hex()[:16]}"
    async with work.transaction() as db:
        await tokens.issue(db, "sign_up", subject, email=form.email, name=form.name, hash=hashed)
        await events.record(db, "sign_up.asked", work.client, None)
        await notices.tell(db, SignUpNotice(email=form.email, subject=subject))


async def confirm(work: Work, form: SignUpConfirmation) -> User:
    """Make the account if link and password are right; signs nobody in.

    The link alone is not enough: whoever else asked for an account with this address
    chose another password, and would own it.
    """
    await limits.client(work, "sign_up.throttled")
    async with work.transaction() as db:
        pending = await tokens.look(db, "sign_up", form.token)
    stored = pending.data["hash"] if pending else None
    correct, _ = await passwords.verify(form.password.get_secret_value(), stored)
    if not correct:
        raise tokens.no_longer_valid("sign_up")
    async with work.transaction() as db:
        used = await tokens.consume(db, "sign_up", form.token)
        user = await users.add(db, used.data["email"], used.data["name"])
        if user is None or used.data["hash"] != stored:
            raise tokens.no_longer_valid("sign_up")
        await db.execute(insert(Password).values(user_id=user.id, hash=stored))
        await events.record(db, "user.created", work.client, user.id)
        return User.model_validate(user)
