"""Request and response models of accounts."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, SecretStr, StringConstraints
from saaskit.schema import Input, Output, Query
from saaskit.types import AccountEmail, SingleLine
from saaskit.web import LocalPath

Password = Annotated[SecretStr, Field(min_length=1, max_length=256)]
"""A password. It is never shown, echoed or logged."""

MailToken = Annotated[str, Field(min_length=1, max_length=100)]
"""The single-use token of an e-mailed link."""

ProviderName = Annotated[str, StringConstraints(max_length=40, pattern=r"^[a-z0-9][a-z0-9_-]*$")]


class User(Output):
    """A user account."""

    id: int
    email: str
    name: str
    created_at: datetime
    delete_at: datetime | None
    """When the account will be erased; null unless the user asked for that."""


class UserUpdate(Input):
    """Changes to an account."""

    name: SingleLine


class SignUp(Input):
    """A new account."""

    email: AccountEmail
    name: SingleLine
    password: Password


class SignUpConfirmation(Input):
    """The e-mailed token, which proves access to the mailbox, and the password chosen at sign-up."""

    token: MailToken
    password: Password


class SignIn(Input):
    """Credentials."""

    email: AccountEmail
    password: Password
    remember: bool = False
    """Stay signed in for weeks on this device instead of until the browser is closed."""


class PasswordChange(Input):
    """The current password and a new one."""

    current: Password
    new: Password


class PasswordResetRequest(Input):
    """The account whose password is to be reset."""

    email: AccountEmail


class PasswordReset(Input):
    """The e-mailed token and a new password."""

    token: MailToken
    password: Password


class EmailChange(Input):
    """A new e-mail address."""

    email: AccountEmail


class TokenUse(Input):
    """The e-mailed token."""

    token: MailToken


class TokenState(Output):
    """Whether an e-mailed link is still valid."""

    valid: bool
    expires_at: datetime | None = None


class MailSent(Output):
    """The same response whether the address is known or not."""

    detail: str = "If that address can be used, we have sent an e-mail to it."


class CurrentSession(Output):
    """The session of this request."""

    user: User
    signed_in_at: datetime


class Session(Output):
    """A signed-in browser."""

    id: int
    current: bool
    """True for the session making this request."""
    signed_in_at: datetime
    seen_at: datetime
    """Rounded to one minute."""
    expires_at: datetime
    methods: list[str]
    address: str
    user_agent: str


class SessionList(Output):
    """Sessions, most recently used first."""

    items: list[Session]


class OAuthStart(Query):
    """Options of an OAuth sign-in."""

    next: LocalPath = "/"
    """Where to redirect after signing in."""


class LinkStart(Input):
    """The provider to link."""

    provider: ProviderName
    next: LocalPath = "/"
    """Where to redirect after linking."""


class AuthorizationRedirect(Output):
    """Navigate the browser to `location`. The provider sends it back."""

    location: str


class Provider(Output):
    """An OAuth provider that users can sign in with."""

    name: str
    label: str
    url: Annotated[str, Field(description="Navigate the browser to this URL to sign in.")]


class ProviderList(Output):
    """The configured OAuth providers."""

    items: list[Provider]


class Identity(Output):
    """An account at an OAuth provider that can sign in as you."""

    id: int
    provider: str
    email: str | None
    linked_at: datetime


class IdentityList(Output):
    """Linked identities, oldest first."""

    items: list[Identity]


class Event(Output):
    """An entry of your audit log."""

    id: int
    at: datetime
    kind: str
    address: str
    user_agent: str
    data: dict[str, Any]
