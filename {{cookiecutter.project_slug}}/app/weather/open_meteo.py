"""Open-Meteo's public APIs for places and forecasts, without a key (https://open-meteo.com/en/docs)."""

from datetime import datetime

from pydantic import BaseModel, Field
from saaskit.errors import NotFound
from saaskit.upstream import Upstream

geocoding = Upstream("geocoding", base_url="https://geocoding-api.open-meteo.com")
forecasts = Upstream("weather", base_url="https://api.open-meteo.com")


class Place(BaseModel):
    """A place and its coordinates in degrees."""

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


async def find_place(name: str) -> Place:
    """Return the best-known place with this name; raises NotFound."""
    found = await geocoding.get("/v1/search", model=_Places, params={"name": name, "count": 1})
    if not found.results:
        raise NotFound(f"There is no place called {name}.")
    return found.results[0]


async def get_current(place: Place) -> Current:
    """Return the current weather at a place."""
    params = {
        "latitude": round(place.latitude, 2),
        "longitude": round(place.longitude, 2),
        "current": "temperature_2m,wind_speed_10m,weather_code",
    }
    return (await forecasts.get("/v1/forecast", model=_Forecast, params=params)).current
