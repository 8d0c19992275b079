"""How the service is."""

from typing import Literal

from app.core.schema import Output


class Health(Output):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Output):
    """What the service needs, and whether it answers. `degraded` still serves."""

    status: Literal["ok", "degraded"]
    database: Literal["ok"] = "ok"
    cache: Literal["ok", "unavailable"]
    upstreams: dict[str, Literal["ok", "unavailable"]]
    """Foreign APIs, by what the last calls to them showed; none is asked."""
