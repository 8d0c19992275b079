"""An upstream's answer as a value, or as our problem, which names the upstream and repeats nothing."""

from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import structlog
from pydantic import TypeAdapter, ValidationError

from app.core import bounded
from app.core.errors import NotFound, Problem, UpstreamBusy, UpstreamFailed, UpstreamLate
from app.core.upstream.retries import retry_after

if TYPE_CHECKING:
    import httpx2

log = structlog.get_logger(__name__)
T = TypeVar("T")
_adapter = lru_cache(maxsize=256)(TypeAdapter)


async def value(name: str, response: "httpx2.Response", model: type[T], most: int) -> T:
    """The JSON of the body as `model`; UpstreamFailed for anything else."""
    try:
        return _adapter(model).validate_json(await bounded.read(response, most) or b"null")
    except (bounded.Unreadable, ValidationError) as error:
        what = error.errors(include_input=False)[:3] if isinstance(error, ValidationError) else error
        log.warning("upstream answered strangely", upstream=name, what=str(what))
        raise UpstreamFailed(f"{name} answered something unexpected.") from None


def problem(name: str, response: "httpx2.Response") -> Problem | None:
    """None for a success and for 304."""
    status = response.status_code
    if 200 <= status < 300 or status == 304:
        return None
    if status in (404, 410):
        return NotFound(f"{name} has no such thing.")
    if status in (429, 503):
        return UpstreamBusy(name, retry_after(response.headers.get("retry-after")) or 1)
    if status == 504:
        return UpstreamLate(f"{name} did not answer in time.")
    # A redirect would lead to a place that we did not choose; 401 is about our secret, not about the caller.
    return UpstreamFailed(f"{name} answered with an error.")
