"""What tests/core/test_relay.py serves: one route that relays to UPSTREAM_URL."""

import os

from fastapi import FastAPI, Request, Response
from pydantic import SecretStr

from app.core import upstream
from app.core.http import Envelope
from app.core.logging import configure_logging
from app.core.problems import add_problem_handlers
from app.core.upstream import Limits, Upstream

configure_logging("info", json=True)
there = Upstream(
    "there",
    base_url=os.environ.get("UPSTREAM_URL", ""),
    secret=SecretStr("s3cret"),
    allow=("GET /files/{name}", "POST /files/{name}", "GET /deep/{a}/{b}"),
    also_return=("x-page",),
    limits=Limits(read=1, total=2, pool=0.2, idle=2, concurrency=4, request_bytes=1000, stream_bytes=2**30),
)
app = FastAPI(lifespan=lambda _: upstream.opened())
add_problem_handlers(app)


@app.api_route("/relay/{path:path}", methods=["GET", "HEAD", "POST", "DELETE"])
async def relay(path: str, request: Request) -> Response:
    return await there.forward(request, path)


wrapped = Envelope(app, https=False)
