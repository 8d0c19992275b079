"""HTML pages from Jinja2 templates with autoescaping."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from saaskit.web.forms import FORM_MEDIA_TYPE

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    # With `no-referrer`, browsers send `Origin: null` for our own forms, which the CSRF check would refuse.
    "Referrer-Policy": "strict-origin",
}


class Templates:
    """The templates in a folder. A variable that the template uses and the code does not pass is an error."""

    def __init__(self, folder: Path) -> None:
        self.environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
        )

    def render(self, name: str, /, **context: Any) -> str:
        """Return the template as text."""
        return self.environment.get_template(name).render(context)

    def response(
        self, name: str, /, status: int = 200, headers: Mapping[str, str] | None = None, **context: Any
    ) -> HTMLResponse:
        """Return the template as a page with strict headers: no scripts, and nothing from other hosts."""
        return HTMLResponse(self.render(name, **context), status, {**HEADERS, **(headers or {})})


def prefers_html(request: Request) -> bool:
    """Return whether a browser sent a form and will display the response."""
    content_type, accept = (request.headers.get(name, "") for name in ("content-type", "accept"))
    return content_type.startswith(FORM_MEDIA_TYPE) and "text/html" in accept
