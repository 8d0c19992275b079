"""The weather in a city, from two cached upstream calls."""

from datetime import UTC

from saaskit.cache import cached

from app.weather import open_meteo
from app.weather.open_meteo import Place
from app.weather.schemas import Weather


async def get(city: str) -> Weather:
    """Return the current weather.

    It is at most one minute old, up to an hour while it is being refreshed, and up to a day if the upstream
    is down.
    """
    return await _current(" ".join(city.casefold().split()))


@cached("place", revalidate=86400, expire=30 * 86400, stale_if_error=30 * 86400, audience="everyone")
async def _place(city: str) -> Place:
    return await open_meteo.find_place(city)


@cached(
    "weather",
    revalidate=60,
    expire=3600,
    stale_if_error=86400,
    tags=lambda city: [f"city:{city}"],
    audience="everyone",
)
async def _current(city: str) -> Weather:
    place = await _place(city)
    current = await open_meteo.get_current(place)
    return Weather(
        city=place.name,
        country=place.country,
        temperature=current.temperature_2m,
        wind=current.wind_speed_10m,
        code=current.weather_code,
        measured_at=current.time.replace(tzinfo=UTC),
    )
