"""202 Accepted."""

from fastapi import Response

from app.core.jobs.tables import JobRow


def accept(response: Response, row: JobRow) -> None:
    """Say where the job is, and when to look for the first time (RFC 9110 §15.3.3, §10.2.3)."""
    response.headers["Location"] = f"/api/jobs/{row.id}"
    response.headers["Retry-After"] = "1"
