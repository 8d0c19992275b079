"""/api/me/email/reversal?token=…: where the link in the mail to the old address leads."""

from typing import Annotated

from fastapi import Depends, Request

from app.core.forms import body_of, json_or_form
from app.core.links import DONE, PAGE, Form, answer, done
from app.core.problems import problems
from app.deps import Client, Db
from app.schemas.emails import TokenUse
from app.schemas.users import MailToken, TokenState
from app.services import emails, tokens
from filerouter import RouteConfig, operation

config = RouteConfig(public=True)
_FORM = Form("Take your old e-mail address back", "Take it back")
_BODY = body_of(TokenUse)
_Use = Annotated[TokenUse, Depends(json_or_form(TokenUse))]


@operation(responses=PAGE, response_model=TokenState)
async def get(token: MailToken, db: Db, request: Request):
    """Look at the link: a page for browsers, JSON for programs. Uses nothing up."""
    return answer(request, await tokens.state(db, "revert", token), _FORM, token)


@operation(status_code=204, response_model=None, responses=problems(415) | DONE, openapi_extra=_BODY)
async def post(form: _Use, db: Db, client: Client, request: Request):
    """Take the account back to the old address: signs everybody out, and mails a link for a new password."""
    await emails.revert(db, form.token, client)
    return done(request, "You have your address back. A link for a new password is on its way to it.")
