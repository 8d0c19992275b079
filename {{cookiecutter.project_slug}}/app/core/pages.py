"""The page behind a link in a mail: looking at it changes nothing, its button sends a POST.

No script, nothing from elsewhere, no referrer; the token stays in the query, which is not logged.
"""

from dataclasses import dataclass
from html import escape
from string import Template
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_PAGE = Template("""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>body { font-family: sans-serif; max-width: 24em; margin: 4em auto; padding: 0 1em }
input, button { font-size: 1em; padding: .5em; width: 100%; box-sizing: border-box; margin-top: .5em }</style>
</head>
<body><h1>$title</h1>$body</body>
</html>
""")


@dataclass(frozen=True)
class Form:
    """What the page asks: only a button, or also for a password under this label."""

    title: str
    button: str
    asks: str = ""


PAGE = {200: {"content": {"text/html": {"schema": {"type": "string"}}}}}
"""`responses` of a handler that calls `answer`."""


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
            f'<form method="post" action="{escape(request.url.path)}">'
            f'<input type="hidden" name="token" value="{escape(token)}">{field}'
            f"<button>{escape(form.button)}</button></form>"
        )
    page = _PAGE.substitute(title=escape(form.title), body=body)
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})
