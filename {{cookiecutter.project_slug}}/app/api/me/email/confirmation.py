"""/api/me/email/confirmation?token=…: the link that is sent to a new e-mail address."""

from typing import Annotated

from fastapi import Depends, Request
from filerouter import RouteConfig, operation
from saaskit.web import json_or_form, json_or_form_body, problems

from app.accounts import email_change, tokens
from app.accounts.confirmation_pages import DONE, PAGE, confirmation_page, done
from app.accounts.schemas import MailToken, TokenState, TokenUse
from app.deps import Client, CurrentUser, Db

config = RouteConfig(public=True)
Form = Annotated[TokenUse, Depends(json_or_form(TokenUse))]


@operation(responses=PAGE, response_model=TokenState)
async def get(token: MailToken, db: Db, request: Request):
    """Show the confirmation page (HTML) or the link's state (JSON). Does not consume the link."""
    state = await tokens.get_state(db, "email", token)
    title, button = "Confirm your new e-mail address", "Use this address"
    return confirmation_page(request, state, token, title=title, button=button)


@operation(
    status_code=204,
    response_model=None,
    responses=problems(415) | DONE,
    openapi_extra=json_or_form_body(TokenUse),
)
async def post(user: CurrentUser, form: Form, db: Db, client: Client, request: Request):
    """Confirm your new e-mail address. The previous address is notified and can revert the change."""
    await email_change.confirm(db, user, form.token, client)
    return done(request, "Your account now uses this e-mail address.")
