"""A greeting."""

from app.core.schema import Output


class Hello(Output):
    """Who is greeted, and how."""

    message: str
