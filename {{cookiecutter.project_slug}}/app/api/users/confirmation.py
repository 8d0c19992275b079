"""/api/users/confirmation?token=…: where the link in the sign-up mail leads."""

from typing import Annotated

from fastapi import Depends, Request

from app.core.errors import TooManyRequests
from app.core.forms import body_of, json_or_form
from app.core.pages import PAGE, Form, answer
from app.core.problems import problems
from app.deps import Db, Work
from app.schemas.passwords import SignUpConfirmation
from app.schemas.users import MailToken, TokenState, User
from app.services import sign_up, tokens
from filerouter import RouteConfig, operation

config = RouteConfig(public=True)
_FORM = Form("Confirm your account", "Confirm", asks="The password that you chose")


@operation(responses=PAGE, response_model=TokenState)
async def get(token: MailToken, db: Db, request: Request):
    """Look at the link: a page for browsers, JSON for programs. Uses nothing up."""
    return answer(request, await tokens.state(db, "sign_up", token), _FORM, token)


@operation(
    status_code=201, responses=problems(TooManyRequests, 415), openapi_extra=body_of(SignUpConfirmation)
)
async def post(
    form: Annotated[SignUpConfirmation, Depends(json_or_form(SignUpConfirmation))], work: Work
) -> User:
    """Make the account; then sign in."""
    return await sign_up.confirm(work, form)
