"""The weather on the wire."""

from datetime import datetime

from pydantic import ConfigDict

from app.core.schema import Output


class Weather(Output):
    """The weather in a city now: degrees Celsius, kilometres an hour."""

    model_config = ConfigDict(frozen=True)

    city: str
    country: str
    temperature: float
    wind: float
    code: int
    """WMO 4677: 0 is a clear sky, 61 rain."""
    measured_at: datetime
