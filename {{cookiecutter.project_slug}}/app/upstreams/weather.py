"""Open-Meteo: places by name and their weather. Public, without a key (https://open-meteo.com/en/docs)."""

from datetime import datetime

from pydantic import BaseModel, Field

from app.core.errors import NotFound
from app.core.upstream import Upstream
from app.settings import get_settings

geocoding = Upstream("geocoding", base_url=get_settings().geocoding_url)
forecasts = Upstream("weather", base_url=get_settings().weather_url)


class Place(BaseModel):
    """Where it is; `timezone` as in `Europe/Oslo`."""

    name: str
    country: str = ""
    latitude: float
    longitude: float


class Current(BaseModel):
    """The weather at `time` (UTC): °C, km/h, and a WMO 4677 code."""

    time: datetime
    temperature_2m: float
    wind_speed_10m: float
    weather_code: int


class _Places(BaseModel):
    results: list[Place] = Field(default=[], max_length=100)


class _Forecast(BaseModel):
    current: Current


async def find(name: str) -> Place:
    """The best-known place of this name, or NotFound."""
    found = await geocoding.get("/v1/search", model=_Places, params={"name": name, "count": 1})
    if not found.results:
        raise NotFound(f"There is no place called {name}.")
    return found.results[0]


async def current(place: Place) -> Current:
    """The weather there now."""
    params = {
        "latitude": round(place.latitude, 2),
        "longitude": round(place.longitude, 2),
        "current": "temperature_2m,wind_speed_10m,weather_code",
    }
    return (await forecasts.get("/v1/forecast", model=_Forecast, params=params)).current
