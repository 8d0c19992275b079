"""GET /api/hello: the smallest endpoint."""

from filerouter import RouteConfig
from saaskit.schema import Output
from saaskit.types import SingleLine

config = RouteConfig(public=True)


class Hello(Output):
    """A greeting."""

    message: str


async def get(name: SingleLine = "world") -> Hello:
    """Greet someone: `?name=Ada`."""
    return Hello(message=f"Hello, {name}!")
