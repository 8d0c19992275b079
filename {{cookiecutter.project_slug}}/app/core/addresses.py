"""E-mail addresses in the one form under which an account is known, and paths that stay at home."""

from typing import Annotated
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, StringConstraints, WithJsonSchema


def _canonical(value: str) -> str:
    """NFKC, ASCII local part, IDNA A-labels, lower case: two spellings of a mailbox are one account."""
    try:
        found = validate_email(value, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from error
    return (found.ascii_email or found.normalized).lower()


Address = Annotated[
    str,
    StringConstraints(max_length=254),
    AfterValidator(_canonical),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": 254}),
]
"""An account's address, canonical. Mail goes to the stored form, never to what was typed."""


def is_local_path(value: str) -> bool:
    """Whether a redirect to `value` stays on our origin, in every browser's reading of it."""
    if not value.startswith("/") or value.startswith("//") or not value.isprintable() or "\\" in value:
        return False
    parts = urlsplit(value)
    return not parts.scheme and not parts.netloc and " " not in value


def _local(value: str) -> str:
    if not is_local_path(value):
        raise ValueError("must be a path of this site, as in /welcome")
    return value


LocalPath = Annotated[str, StringConstraints(max_length=500), AfterValidator(_local)]
"""Where to go next: a path on our own origin."""
