"""/api/weather/oslo: two foreign APIs behind one cache."""

from typing import Annotated

from fastapi import Path

from app.core.errors import NotFound, TooManyRequests, UpstreamBusy, UpstreamFailed, UpstreamLate
from app.core.problems import problems
from app.core.types import Line
from app.deps import Work
from app.schemas.weather import Weather
from app.services import weather
from filerouter import RouteConfig

config = RouteConfig(
    public=True, responses=problems(NotFound, TooManyRequests, UpstreamFailed, UpstreamBusy, UpstreamLate)
)


async def get(city: Annotated[Line, Path(max_length=100)], work: Work) -> Weather:
    """Look up the weather in a city."""
    return await weather.current(work, city)
