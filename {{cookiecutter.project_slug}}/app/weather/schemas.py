"""Response model of the weather."""

from datetime import datetime

from pydantic import ConfigDict
from saaskit.schema import Output


class Weather(Output):
    """The current weather in a city, in degrees Celsius and kilometers per hour."""

    model_config = ConfigDict(frozen=True)

    city: str
    country: str
    temperature: float
    wind: float
    code: int
    """WMO code 4677: 0 is a clear sky, 61 is rain."""
    measured_at: datetime
