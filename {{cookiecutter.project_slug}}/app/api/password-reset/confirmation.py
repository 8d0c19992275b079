"""/api/password-reset/confirmation?token=…: the link that resets a password."""

from typing import Annotated

from fastapi import Depends, Request
from filerouter import RouteConfig, operation
from saaskit.errors import TooManyRequests
from saaskit.web import json_or_form, json_or_form_body, problems

from app.accounts import passwords, tokens
from app.accounts.confirmation_pages import DONE, PAGE, confirmation_page, done
from app.accounts.schemas import MailToken, PasswordReset, TokenState
from app.deps import Account, Db

config = RouteConfig(public=True)
Form = Annotated[PasswordReset, Depends(json_or_form(PasswordReset))]


@operation(responses=PAGE, response_model=TokenState)
async def get(token: MailToken, db: Db, request: Request):
    """Show the confirmation page (HTML) or the link's state (JSON). Does not consume the link."""
    state = await tokens.get_state(db, "reset", token)
    title, label = "Choose a new password", "New password, at least 15 characters"
    return confirmation_page(request, state, token, title=title, button="Save", password_label=label)


@operation(
    status_code=204,
    response_model=None,
    responses=problems(TooManyRequests, 415) | DONE,
    openapi_extra=json_or_form_body(PasswordReset),
)
async def post(form: Form, account: Account, request: Request):
    """Set a new password. Ends all sessions; does not sign in."""
    await passwords.reset(account, form)
    return done(request, "Your password is changed. You can sign in with it now.")
