"""A new address for an account, on the wire."""

from app.core.addresses import Address
from app.core.schema import Input
from app.schemas.users import MailToken


class EmailChange(Input):
    """Where mail is to go from now on."""

    email: Address


class TokenUse(Input):
    """The link from a mail, used."""

    token: MailToken
