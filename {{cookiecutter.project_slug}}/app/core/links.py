"""The page behind a link in a mail: looking at it changes nothing, its button sends a POST.

The token stays in the query, which is neither logged nor sent on to anybody.
"""

from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from pydantic import BaseModel

from app.core.pages import page, wanted


@dataclass(frozen=True)
class Form:
    """What the page asks: only a button, or also for a password under this label."""

    title: str
    button: str
    asks: str = ""


PAGE = {200: {"content": {"text/html": {"schema": {"type": "string"}}}}}
"""`responses` of a handler that calls `answer`."""
DONE = {200: {"description": "The same, told to a browser that posted the form", **PAGE[200]}}
"""`responses` of a handler that calls `done`."""


def answer(request: Request, state: BaseModel, form: Form, token: str) -> Any:
    """The state of a link, as JSON for programs and as a page for browsers."""
    if "text/html" not in request.headers.get("accept", ""):
        return state
    body = "<p>This link is no longer valid. Ask for a new one.</p>"
    if getattr(state, "valid", False):
        field = (
            f'<label>{escape(form.asks)}<input type="password" name="password" required></label>'
            if form.asks
            else ""
        )
        body = (
            f'<form method="post" action="?{escape(urlencode({"token": token}))}">'
            f'<input type="hidden" name="token" value="{escape(token)}">{field}'
            f"<button>{escape(form.button)}</button></form>"
        )
    return page(form.title, body)


def done(request: Request, sentence: str, value: BaseModel | None = None) -> Any:
    """`value` for programs, the sentence for who pressed the button."""
    return page("Done", f"<p>{escape(sentence)}</p>") if wanted(request) else value
