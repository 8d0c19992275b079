"""The contact form: one schema for JSON and for an HTML form."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints
from saaskit.schema import Input, Output
from saaskit.types import Email, SingleLine, Text


class ContactForm(Input):
    """A message to the team."""

    name: SingleLine
    email: Email
    message: Annotated[Text, StringConstraints(min_length=10, max_length=5000)]
    website: Annotated[
        Text,
        StringConstraints(max_length=200),
        Field(description="Leave empty. A hidden input that only bots fill in."),
    ] = ""


class ContactReceipt(Output):
    """The message was received."""

    received_at: datetime
