"""GET /api/words/{word}."""

from filerouter import RouteConfig
from saaskit.errors import NotFound
from saaskit.types import Slug

config = RouteConfig(public=True)


async def get(word: Slug) -> None:
    """Find no word at all."""
    raise NotFound(f"There is no word {word}.")
