"""Field types for schemas: values that PostgreSQL, UTF-8 and a TypeScript client can all hold."""

import re
from decimal import Decimal
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from fastapi import Path
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

__all__ = [
    "MAX_ID",
    "AccountEmail",
    "BodyId",
    "Count",
    "Email",
    "Id",
    "IntegralFloat",
    "Money",
    "SingleLine",
    "Slug",
    "Text",
]

# PostgreSQL text cannot hold NUL, and other control characters hide in logs. Pydantic refuses lone
# surrogates.
_TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
_SINGLE_LINE = r"^[^\x00-\x20\x7f](?:[^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$"
_MONEY = re.compile(r"[0-9]{1,10}(\.[0-9]{1,2})?")


def _integral(value: object) -> object:
    """Convert 78.0 to 78: both are integers in JSON (RFC 8259 §6, JSON Schema §4.2.3)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _decimal(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str) or not _MONEY.fullmatch(value):
        raise ValueError('must be a decimal number in a string, as in "19.90"')
    return Decimal(value)


def _email(value: str) -> str:
    try:
        return validate_email(value, check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise ValueError(str(error)) from error


def _account_email(value: str) -> str:
    try:
        email = validate_email(value, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from error
    return (email.ascii_email or email.normalized).lower()


Text = Annotated[str, StringConstraints(pattern=_TEXT)]
"""Text that can be stored, logged and displayed. Set a maximum length where you use it."""

SingleLine = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_SINGLE_LINE)]
"""One line of 1 to 200 characters, without blanks at its ends."""

Slug = Annotated[str, StringConstraints(max_length=60, pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$")]
"""Lower-case words joined by hyphens, 1 to 60 characters."""

_EMAIL_SCHEMA = WithJsonSchema({"type": "string", "format": "email", "maxLength": 254})

Email = Annotated[str, StringConstraints(max_length=254), AfterValidator(_email), _EMAIL_SCHEMA]
"""A syntactically valid e-mail address (RFC 5321, IDNA). Delivery is not checked."""

AccountEmail = Annotated[
    str, StringConstraints(max_length=254), AfterValidator(_account_email), _EMAIL_SCHEMA
]
"""An e-mail address in the canonical form that identifies an account.

NFKC, ASCII local part, IDNA A-labels, lower case: two spellings of one mailbox are one account.
"""

Money = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,2})?$", "examples": ["19.90"]}),
]
"""An exact amount in major units with at most two decimals. A string in JSON, never a float."""

MAX_ID = 2**53 - 1
"""The largest integer that JavaScript represents exactly."""

Id = Annotated[int, Path(ge=1, le=MAX_ID)]
"""A row's id in a URL."""

IntegralFloat = BeforeValidator(_integral)
"""Accepts 78.0 for an `int` in a JSON body: `Annotated[int, Field(ge=1), IntegralFloat]`."""

BodyId = Annotated[int, Field(ge=1, le=MAX_ID), IntegralFloat]
"""A row's id in a JSON body."""

Count = Annotated[int, Field(ge=0, le=1_000_000), IntegralFloat]
"""A number of things."""
