"""The mails about an account, as jobs. They carry no token: the worker makes it when it writes the mail."""

from typing import Literal

from pydantic import Field

from app.core.addresses import Address
from app.core.jobs import Job

Kind = Literal[
    "confirm_sign_up",
    "account_exists",
    "password_forgotten",
    "password_changed",
    "confirm_email",
    "email_changed",
    "new_device",
    "identity_linked",
    "identity_unlinked",
    "deletion_planned",
    "deletion_cancelled",
    "account_erased",
]


class SignUpNotice(Job, queue="mail", max_attempts=10, backoff=10, time_limit=120):
    """Answers a sign-up: a link to confirm it, or that there is an account already."""

    email: Address
    subject: str
    """Of the token: the address, and from where it was asked for."""


class ResetNotice(Job, queue="mail", max_attempts=10, backoff=10, time_limit=120):
    """Answers "I forgot my password": a link, if the address has an account."""

    email: Address


class EmailChangeNotice(Job, queue="mail", max_attempts=10, backoff=10, time_limit=120):
    """Answers a change of address: a link to the new one, or to its owner that somebody tried."""

    user_id: int
    email: Address


class RevertNotice(Job, queue="mail", max_attempts=10, backoff=10, time_limit=120):
    """Tells the old address that it was replaced, with the way back."""

    user_id: int
    email: Address


class Notice(Job, queue="mail", max_attempts=10, backoff=10, time_limit=120):
    """Tells somebody what happened to their account. No link, no secret."""

    kind: Kind
    email: Address
    facts: dict[str, str] = Field(default_factory=dict)
