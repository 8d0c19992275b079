"""Passwords on the wire: in, and never out."""

from app.core.addresses import Address
from app.core.schema import Input
from app.schemas.users import MailToken, Password


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


class EmailChange(Input):
    """Where mail is to go from now on."""

    email: Address


class TokenUse(Input):
    """The link from a mail, used."""

    token: MailToken
