"""`/docs`: Swagger UI over our OpenAPI document, served from the installed wheel.

Nothing is fetched from another host, so that the page works offline and under a strict policy.
"""

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
<form id="sign-in" style="font: 14px sans-serif; padding: 12px 20px; text-align: right">
<span id="who"></span>
<input name="email" type="email" placeholder="e-mail" autocomplete="username" required>
<input name="password" type="password" placeholder="password" autocomplete="current-password" required>
<button>Sign in</button>
</form>
<div id="docs"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#docs", deepLinking: true, tryItOutEnabled: true
});
const form = document.getElementById("sign-in"), who = document.getElementById("who");
async function show() {
  const answer = await fetch("/api/session");
  const name = answer.ok && (await answer.json()).user.email;
  who.textContent = name ? `Signed in as ${name}. ` : "Try it out as somebody: ";
}
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify(Object.fromEntries(new FormData(form)));
  const headers = {"Content-Type": "application/json"};
  const answer = await fetch("/api/session", {method: "POST", headers, body});
  if (!answer.ok) alert((await answer.json()).detail);
  form.password.value = "";
  await show();
});
show();
"""


def add_docs(app: FastAPI) -> None:
    """Serve the page, its script and its assets under `/docs`, where `/` leads to."""

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse("/docs")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(_PAGE.format(title=app.title), headers={"Content-Security-Policy": _POLICY})

    @app.get("/docs/start.js", include_in_schema=False)
    async def start() -> Response:
        return Response(_START, media_type="text/javascript")

    # Only the files of the package are used: importing it is not needed.
    assets = StaticFiles(directory=str(files("fastapi_swagger") / "resources"))
    app.mount("/docs/assets", assets)
