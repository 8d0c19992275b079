"""The little HTML that we answer ourselves: no script, nothing from elsewhere."""

from collections.abc import Iterable, Mapping
from html import escape
from string import Template

from fastapi import Request
from fastapi.responses import HTMLResponse

from app.core.forms import FORM

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    # With `no-referrer` browsers say `Origin: null` for our own forms, which looks like a foreign page.
    "Referrer-Policy": "strict-origin",
}
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


def page(title: str, body: str, status: int = 200, headers: Mapping[str, str] | None = None) -> HTMLResponse:
    """`title` is text, `body` HTML: escape what you put into it."""
    html = _PAGE.substitute(title=escape(title), body=body)
    return HTMLResponse(html, status, {**(headers or {}), **HEADERS})


def wanted(request: Request) -> bool:
    """Whether a browser posted a form, and shows the user whatever we answer."""
    kind, accepted = (request.headers.get(name, "") for name in ("content-type", "accept"))
    return kind.startswith(FORM) and "text/html" in accepted


def refusal(
    request: Request, sentences: Iterable[str | None], status: int, headers: Mapping[str, str] | None
) -> HTMLResponse:
    """A problem, for people. The way back is the address that the form was posted to, looked at."""
    told = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences if sentence)
    back = f'<p><a href="?{escape(request.url.query)}">Back</a></p>'
    return page("That did not work", told + back, status, headers)
