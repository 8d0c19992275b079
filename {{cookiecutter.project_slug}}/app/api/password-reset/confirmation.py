"""/api/password-reset/confirmation?token=…: where the link in the mail leads."""

from typing import Annotated

from fastapi import Depends, Request

from app.core.errors import TooManyRequests
from app.core.forms import body_of, json_or_form
from app.core.links import DONE, PAGE, Form, answer, done
from app.core.problems import problems
from app.deps import Db, Work
from app.schemas.passwords import PasswordReset
from app.schemas.users import MailToken, TokenState
from app.services import passwords, tokens
from filerouter import RouteConfig, operation

config = RouteConfig(public=True)
_FORM = Form("Choose a new password", "Set the password", asks="New password, 15 characters or more")
_BODY = body_of(PasswordReset)
_REFUSALS = problems(TooManyRequests, 415)
_Reset = Annotated[PasswordReset, Depends(json_or_form(PasswordReset))]


@operation(responses=PAGE, response_model=TokenState)
async def get(token: MailToken, db: Db, request: Request):
    """Look at the link: a page for browsers, JSON for programs. Uses nothing up."""
    return answer(request, await tokens.state(db, "reset", token), _FORM, token)


@operation(status_code=204, response_model=None, responses=_REFUSALS | DONE, openapi_extra=_BODY)
async def post(form: _Reset, work: Work, request: Request):
    """Set a new password. Signs everybody out, and nobody in."""
    await passwords.reset(work, form)
    return done(request, "Your password is changed. Sign in with it.")
