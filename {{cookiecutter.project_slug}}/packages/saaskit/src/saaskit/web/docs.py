"""`/docs`: Swagger UI for the OpenAPI document, served from an installed wheel.

Nothing is loaded from another host, so the page works offline and under a strict content security policy.
"""

from html import escape
from importlib.resources import files

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="/docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
{header}
<div id="docs"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#docs", deepLinking: true, tryItOutEnabled: true
});
"""


def add_docs(app: FastAPI, *, header: str = "", script: str = "") -> None:
    """Serve Swagger UI at `/docs`, and redirect `/` to it.

    `header` is trusted HTML above the documentation, `script` is JavaScript for it, such as a sign-in form.
    """

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse("/docs")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        page = _PAGE.format(title=escape(app.title), header=header)
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})

    @app.get("/docs/start.js", include_in_schema=False)
    async def start() -> Response:
        return Response(_START + script, media_type="text/javascript")

    # Only the package's files are used; it need not be imported.
    assets = StaticFiles(directory=str(files("fastapi_swagger") / "resources"))
    app.mount("/docs/assets", assets)
