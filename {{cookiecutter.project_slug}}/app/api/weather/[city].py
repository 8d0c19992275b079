"""/api/weather/oslo: two upstreams behind one cache."""

from typing import Annotated

from fastapi import Path
from filerouter import RouteConfig
from saaskit.errors import BadGateway, GatewayTimeout, NotFound, TooManyRequests, UpstreamUnavailable
from saaskit.ratelimit import Limit
from saaskit.types import SingleLine
from saaskit.web import problems

from app.deps import limit_per_network
from app.weather import service as weather
from app.weather.schemas import Weather

config = RouteConfig(
    public=True,
    # Every new city costs two upstream calls.
    dependencies=[limit_per_network(Limit("weather", max_requests=60, seconds=60))],
    responses=problems(NotFound, TooManyRequests, BadGateway, UpstreamUnavailable, GatewayTimeout),
)


async def get(city: Annotated[SingleLine, Path(max_length=100)]) -> Weather:
    """Get the current weather in a city."""
    return await weather.get(city)
