"""`ETag` and `If-None-Match` for things that count their changes (RFC 9110 §13.1.2)."""

from typing import Any

from fastapi import Request, Response
from starlette.exceptions import HTTPException

UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "Not changed since the `ETag` that you sent in `If-None-Match`"}
}
"""For `@operation(responses=…)`."""


def check(request: Request, response: Response, revision: int) -> None:
    """Name the revision; end here with 304 if the client has it."""
    tag = f'"{revision}"'
    response.headers["ETag"] = tag
    known = request.headers.get("if-none-match", "")
    if tag in [part.strip().removeprefix("W/") for part in known.split(",")]:
        raise HTTPException(304, headers={"ETag": tag})
