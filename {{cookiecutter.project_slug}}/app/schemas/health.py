"""How the service is."""

from typing import Literal

from app.core.schema import Output

State = Literal["ok", "unavailable"]


class Health(Output):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Output):
    """What the service needs, and whether it answers. `degraded` still serves."""

    status: Literal["ok", "degraded"]
    database: Literal["ok"] = "ok"
    cache: State
    upstreams: dict[str, State]
    """Foreign APIs, by what the last calls to them showed; none is asked."""
