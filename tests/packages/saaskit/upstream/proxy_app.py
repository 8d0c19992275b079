"""The application of test_proxy.py, with the platform's middleware: it forwards to UPSTREAM_URL."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from pydantic import SecretStr
from saaskit import upstream
from saaskit.errors import Problem
from saaskit.logging import configure_logging
from saaskit.settings import Settings
from saaskit.upstream import Limits, Upstream
from saaskit.web import ProblemMiddleware, RequestContextMiddleware, problem_handlers
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection

configure_logging("info", json=True)
base_url = os.environ.get("UPSTREAM_URL", "")
example = Upstream(
    "example",
    base_url=base_url,
    secret=SecretStr("s3cret"),
    allow=("GET /files/{name}", "POST /files/{name}", "GET /deep/{a}/{b}"),
    also_return=("x-page",),
    limits=Limits(read=1, total=2, pool=0.2, idle=2, concurrency=4, request_bytes=1000, stream_bytes=2**30),
)
patient = Upstream(
    "patient",
    base_url=base_url,
    allow=("GET /files/{name}",),
    limits=Limits(read=60, total=60, stream=60, idle=60),
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with upstream.connect(Settings(_env_file=None, environment="test")):  # type: ignore[call-arg]
        yield


async def on_refusal(_: HTTPConnection, error: Problem) -> None:
    raise AssertionError(f"no audit event belongs to a forwarded request: {error.event}")


app = FastAPI(
    lifespan=lifespan,
    exception_handlers=problem_handlers(on_refusal=on_refusal),  # type: ignore[arg-type]
    middleware=[Middleware(RequestContextMiddleware), Middleware(ProblemMiddleware)],
)


@app.api_route("/example/{path:path}", methods=["GET", "HEAD", "POST", "DELETE"])
async def forward(path: str, request: Request) -> Response:
    return await example.forward(request, path)


@app.get("/patient/{path:path}")
async def forward_patiently(path: str, request: Request) -> Response:
    return await patient.forward(request, path)
