"""/api/users/confirmation?token=…: the link that confirms a sign-up."""

from typing import Annotated

from fastapi import Depends, Request
from filerouter import RouteConfig, operation
from saaskit.errors import TooManyRequests
from saaskit.web import json_or_form, json_or_form_body, problems

from app.accounts import sign_up, tokens
from app.accounts.confirmation_pages import DONE, PAGE, confirmation_page, done
from app.accounts.schemas import MailToken, SignUpConfirmation, TokenState, User
from app.deps import Account, Db

config = RouteConfig(public=True)
Form = Annotated[SignUpConfirmation, Depends(json_or_form(SignUpConfirmation))]


@operation(responses=PAGE, response_model=TokenState)
async def get(token: MailToken, db: Db, request: Request):
    """Show the confirmation page (HTML) or the link's state (JSON). Does not consume the link."""
    state = await tokens.get_state(db, "sign_up", token)
    title, label = "Confirm your account", "The password that you chose"
    return confirmation_page(request, state, token, title=title, button="Confirm", password_label=label)


@operation(
    status_code=201,
    response_model=User,
    responses=problems(TooManyRequests, 415) | DONE,
    openapi_extra=json_or_form_body(SignUpConfirmation),
)
async def post(form: Form, account: Account, request: Request):
    """Confirm the sign-up and create the account."""
    user = await sign_up.confirm(account, form)
    return done(request, f"Your account is ready. You can sign in as {user.email} now.", user)
