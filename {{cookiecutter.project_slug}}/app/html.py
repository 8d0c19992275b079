"""HTML pages, rendered from the templates in `app/templates/`."""

from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from saaskit.web import Templates

from app.state import State

_templates = Templates(Path(__file__).parent / "templates")


def page(request: Request, name: str, status: int = 200, **context: Any) -> HTMLResponse:
    """Return the page that the template `name` renders, with the product's name."""
    state: State = request.scope["state"]
    return _templates.response(name, status, product_name=state["settings"].product_name, **context)


def error_page(request: Request, status: int, sentences: list[str]) -> Response:
    """Return the page for an error, with a link back to the page that the form was on."""
    return page(request, "error.html", status, sentences=sentences, back=f"?{request.url.query}")
