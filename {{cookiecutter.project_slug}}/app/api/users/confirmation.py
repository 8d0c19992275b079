"""/api/users/confirmation?token=…: where the link in the sign-up mail leads."""

from typing import Annotated

from fastapi import Depends, Request

from app.core.errors import TooManyRequests
from app.core.forms import body_of, json_or_form
from app.core.links import DONE, PAGE, Form, answer, done
from app.core.problems import problems
from app.deps import Db, Work
from app.schemas.passwords import SignUpConfirmation
from app.schemas.users import MailToken, TokenState, User
from app.services import sign_up, tokens
from filerouter import RouteConfig, operation

config = RouteConfig(public=True)
_FORM = Form("Confirm your account", "Confirm", asks="The password that you chose")
_BODY = body_of(SignUpConfirmation)
_REFUSALS = problems(TooManyRequests, 415)
_Confirmation = Annotated[SignUpConfirmation, Depends(json_or_form(SignUpConfirmation))]


@operation(responses=PAGE, response_model=TokenState)
async def get(token: MailToken, db: Db, request: Request):
    """Look at the link: a page for browsers, JSON for programs. Uses nothing up."""
    return answer(request, await tokens.state(db, "sign_up", token), _FORM, token)


@operation(status_code=201, response_model=User, responses=_REFUSALS | DONE, openapi_extra=_BODY)
async def post(form: _Confirmation, work: Work, request: Request):
    """Make the account; then sign in."""
    user = await sign_up.confirm(work, form)
    return done(request, f"Your account is there. Sign in with {user.email}.", user)
