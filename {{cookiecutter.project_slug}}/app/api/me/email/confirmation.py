"""/api/me/email/confirmation?token=…: where the link in the new address's mail leads."""

from typing import Annotated

from fastapi import Depends, Request

from app.core.forms import body_of, json_or_form
from app.core.links import DONE, PAGE, Form, answer, done
from app.core.problems import problems
from app.deps import Client, CurrentUser, Db
from app.schemas.emails import TokenUse
from app.schemas.users import MailToken, TokenState
from app.services import emails, tokens
from filerouter import RouteConfig, operation

config = RouteConfig(public=True)
_FORM = Form("Confirm your new e-mail address", "Use this address")
_BODY = body_of(TokenUse)
_Use = Annotated[TokenUse, Depends(json_or_form(TokenUse))]


@operation(responses=PAGE, response_model=TokenState)
async def get(token: MailToken, db: Db, request: Request):
    """Look at the link: a page for browsers, JSON for programs. Uses nothing up."""
    return answer(request, await tokens.state(db, "email", token), _FORM, token)


@operation(status_code=204, response_model=None, responses=problems(415) | DONE, openapi_extra=_BODY)
async def post(user: CurrentUser, form: _Use, db: Db, client: Client, request: Request):
    """Use the new address from now on, if it was you who asked; the old one is told, with a way back."""
    await emails.confirm(db, user, form.token, client)
    return done(request, "Your account has this address now.")
