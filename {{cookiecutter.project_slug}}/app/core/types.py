"""Field types shared by all schemas: what PostgreSQL, UTF-8 and a TypeScript client can all hold."""

import re
from decimal import Decimal
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from fastapi import Path
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

# PostgreSQL's text holds no NUL; other controls hide in logs. Pydantic itself refuses lone surrogates.
_TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
_LINE = r"^[^\x00-\x20\x7f](?:[^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$"
_MONEY = re.compile(r"[0-9]{1,10}(\.[0-9]{1,2})?")


def _whole(value: object) -> object:
    """78.0 is an integer in JSON (RFC 8259 §6, JSON Schema §4.2.3); 78.5, "78" and true are not."""
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


Text = Annotated[str, StringConstraints(pattern=_TEXT)]
"""Text that can be stored, logged and shown. Bound its length where it is used."""

Line = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_LINE)]
"""One line, 1 to 200 characters, no blanks at its ends."""

Slug = Annotated[str, StringConstraints(max_length=60, pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$")]
"""Lower-case words joined by hyphens, 1 to 60 characters."""

Email = Annotated[
    str,
    StringConstraints(max_length=254),
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

MAX_ID = 2**53 - 1
Id = Annotated[int, Path(ge=1, le=MAX_ID)]
"""A row's number in a URL: as large as JavaScript's numbers are exact."""

# In front of an `int` of a JSON body, behind its bounds: `Annotated[int, Field(ge=1), WHOLE]`.
WHOLE = BeforeValidator(_whole)

Ref = Annotated[int, Field(ge=1, le=MAX_ID), WHOLE]
"""A row's number in a JSON body."""

Count = Annotated[int, Field(ge=0, le=1_000_000), WHOLE]
"""A number of things."""
