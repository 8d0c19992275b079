"""Passwords on the wire: in, and never out."""

from typing import Annotated

from pydantic import Field, SecretStr

from app.core.addresses import Address
from app.core.passwords import MAX_LENGTH
from app.core.schema import Input
from app.core.types import Line
from app.schemas.users import MailToken

Password = Annotated[SecretStr, Field(min_length=1, max_length=MAX_LENGTH)]
"""Never shown, echoed or logged. Whether a new one is good enough is said by `core/passwords.py`."""


class SignUp(Input):
    """Who wants an account."""

    email: Address
    name: Line
    password: Password


class SignUpConfirmation(Input):
    """The link shows who reads the mailbox, the password who asked for the account: both are needed."""

    token: MailToken
    password: Password


class SignIn(Input):
    """Who wants in."""

    email: Address
    password: Password
    remember: bool = False
    """Stay signed in for weeks on this device, not only until the browser ends."""


class PasswordChange(Input):
    """A new password, and the one of today."""

    current: Password
    new: Password


class PasswordForgotten(Input):
    """Whose password is lost."""

    email: Address


class PasswordReset(Input):
    """A new password, with the link from the mail."""

    token: MailToken
    password: Password
