"""The weather in a city, from two foreign calls."""

from datetime import UTC

from app.core.cache import cached
from app.core.work import Work
from app.schemas.weather import Weather
from app.services import limits
from app.upstreams import weather
from app.upstreams.weather import Place


@cached("place", revalidate=86400, expire=30 * 86400, stale_if_error=30 * 86400, audience="everyone")
async def place(city: str) -> Place:
    """Where the city is, or NotFound. It does not move."""
    return await weather.find(city)


@cached(
    "weather",
    revalidate=60,
    expire=3600,
    stale_if_error=86400,
    tags=lambda city: [f"city:{city}"],
    audience="everyone",
)
async def _current(city: str) -> Weather:
    there = await place(city)
    now = await weather.current(there)
    return Weather(
        city=there.name,
        country=there.country,
        temperature=now.temperature_2m,
        wind=now.wind_speed_10m,
        code=now.weather_code,
        measured_at=now.time.replace(tzinfo=UTC),
    )


async def current(work: Work, city: str) -> Weather:
    """The weather there, at most a minute old, or an hour while it refreshes, or a day if nobody answers.

    Strangers may ask, and every new city costs us two calls: TooManyRequests.
    """
    await limits.lookup(work)
    return await _current(" ".join(city.casefold().split()))
