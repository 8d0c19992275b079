"""An upstream's status as our problem: it names the upstream, not its address, and repeats nothing."""

from typing import TYPE_CHECKING

from app.core.errors import NotFound, Problem, UpstreamBusy, UpstreamFailed, UpstreamLate
from app.core.upstream.retries import retry_after

if TYPE_CHECKING:
    import httpx2


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
