"""Signing up with a password: the account is created when the e-mailed link is confirmed."""

from saaskit.jobs import enqueue
from saaskit.security import check_new_password, digest, hash_password, verify_password
from sqlalchemy.dialects.postgresql import insert

from app.accounts import audit, rate_limits, tokens, users
from app.accounts.context import AccountContext
from app.accounts.emails import SignUpEmail
from app.accounts.models import Password
from app.accounts.schemas import SignUp, SignUpConfirmation, User


async def request(account: AccountContext, form: SignUp) -> None:
    """Store the sign-up until it is confirmed, and send the link. Does the same work for every address."""
    await rate_limits.check_network(account, "sign_up.throttled")
    password = form.password.get_secret_value()
    await check_new_password(password, user_words=[form.email, form.name, account.settings.public_url])
    password_hash = await hash_password(password)
    if not await rate_limits.allow_mail(account, form.email):
        return
    # One token per network: a sign-up from another network cannot replace the link that the user received.
    subject = f"{form.email} {digest(account.client.network).hex()[:16]}"
    async with account.sessionmaker.begin() as db:
        await tokens.issue(db, "sign_up", subject, email=form.email, name=form.name, hash=password_hash)
        await audit.record(db, "sign_up.asked", account.client, None)
        await enqueue(db, SignUpEmail(email=form.email, subject=subject))


async def confirm(account: AccountContext, form: SignUpConfirmation) -> User:
    """Create the account if link and password are valid. Does not sign in.

    The link alone does not suffice. Someone else may have signed up with this address and a password of their
    own, and would get access to the account.
    """
    await rate_limits.check_network(account, "sign_up.throttled")
    async with account.sessionmaker.begin() as db:
        token = await tokens.find_valid(db, "sign_up", form.token)
    stored = token.data["hash"] if token else None
    correct, _ = await verify_password(form.password.get_secret_value(), stored)
    if not correct:
        raise tokens.invalid_link("sign_up")
    async with account.sessionmaker.begin() as db:
        used = await tokens.consume(db, "sign_up", form.token)
        user = await users.add(db, used.data["email"], used.data["name"])
        if user is None or used.data["hash"] != stored:
            raise tokens.invalid_link("sign_up")
        await db.execute(insert(Password).values(user_id=user.id, hash=stored))
        await audit.record(db, "user.created", account.client, user.id)
        return User.model_validate(user)
