"""The contact form, one schema for JSON and for an HTML form."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from app.core.schema import Input, Output
from app.core.types import Email, Line, Text


class ContactForm(Input):
    """What a visitor writes to the team."""

    name: Line
    email: Email
    message: Annotated[Text, StringConstraints(min_length=10, max_length=5000)]
    website: Annotated[
        Text,
        StringConstraints(max_length=200),
        Field(description="Leave empty. A hidden input that only robots fill in."),
    ] = ""


class ContactReceipt(Output):
    """We have it."""

    received_at: datetime
