"""The pages behind e-mailed links. Opening one changes nothing; its button sends a POST request.

The token stays in the query string, which is neither logged nor sent to other sites.
"""

from typing import Any

from fastapi import Request
from pydantic import BaseModel
from saaskit.web import prefers_html

from app.accounts.schemas import TokenState
from app.html import page

_HTML = {"content": {"text/html": {"schema": {"type": "string"}}}}
PAGE: dict[int | str, dict[str, Any]] = {200: _HTML}
"""OpenAPI `responses` of a handler that calls `confirmation_page`."""
DONE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The result as a page, for a browser's form", **_HTML}
}
"""OpenAPI `responses` of a handler that calls `done`."""


def confirmation_page(
    request: Request, state: TokenState, token: str, *, title: str, button: str, password_label: str = ""
) -> Any:
    """Return the link's state: as a page with a form for browsers, as JSON for programs."""
    if "text/html" not in request.headers.get("accept", ""):
        return state
    return page(
        request,
        "confirmation.html",
        title=title,
        button=button,
        password_label=password_label,
        token=token,
        valid=state.valid,
        message="",
    )


def done(request: Request, message: str, value: BaseModel | None = None) -> Any:
    """Return `value` for programs, and a page with the message for a browser's form."""
    return (
        page(request, "confirmation.html", title="Done", message=message) if prefers_html(request) else value
    )
