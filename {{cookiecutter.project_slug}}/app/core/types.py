"""Field types shared by all schemas: what PostgreSQL, UTF-8 and a TypeScript client can all hold."""

import re
from decimal import Decimal
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from fastapi import Path
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

# PostgreSQL's text holds no NUL, UTF-8 no lone surrogates; other C0 controls hide in logs and terminals.
_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_MONEY = re.compile(r"[0-9]{1,10}(\.[0-9]{1,2})?")


def _storable(value: str) -> str:
    if _UNSTORABLE.search(value):
        raise ValueError("must not contain control characters or broken Unicode")
    return value


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


Text = Annotated[str, AfterValidator(_storable)]
"""Text that can be stored, logged and shown. Bound its length where it is used."""

Line = Annotated[Text, StringConstraints(min_length=1, max_length=200, pattern=r"^\S(?:.*\S)?$")]
"""One line, 1 to 200 characters, no blanks at its ends."""

Slug = Annotated[str, StringConstraints(max_length=60, pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$")]
"""Lower-case words joined by hyphens, 1 to 60 characters."""

Email = Annotated[
    str,
    StringConstraints(max_length=254),
    AfterValidator(_storable),
    AfterValidator(_email),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": 254}),
]
"""An address whose form is right (RFC 5321 limits, IDNA); whether somebody reads it is another matter."""

Money = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,2})?$", "examples": ["19.90"]}),
]
"""An exact amount in major units with at most two decimals; a string on the wire, never a float."""

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
"""A row's number, as PostgreSQL's bigint holds it."""

Count = Annotated[int, Field(ge=0, le=1_000_000)]
"""A number of things."""
