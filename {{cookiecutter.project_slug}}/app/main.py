"""The application: its middleware, resources, error handlers and routes."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from filerouter import FileRouter
from granian.utils.proxies import wrap_asgi_with_proxy_headers
from saaskit import cache, upstream
from saaskit.db import create_autocommit_engine, create_engine, create_sessionmaker
from saaskit.features import load_features
from saaskit.logging import configure_logging
from saaskit.oauth import OAuthProviders
from saaskit.ratelimit import RateLimiter
from saaskit.web import (
    BodyTimeoutMiddleware,
    CORSMiddleware,
    CSRFMiddleware,
    DocumentedFastAPI,
    ProblemMiddleware,
    RequestContextMiddleware,
    SecurityHeadersMiddleware,
    TrustedHostMiddleware,
    add_docs,
    problem_handlers,
    problems,
)
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from app.accounts import audit, docs_page
from app.deps import require_user
from app.html import error_page
from app.settings import Settings, get_settings
from app.state import State


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[State]:
    """Open the resources that requests share. Each connects when it is first used."""
    engine = create_engine(settings.database_url, settings.database_pool_size)
    rate_limiter = RateLimiter(settings.redis_url)
    try:
        async with cache.connect(settings.redis_url), upstream.connect(settings):
            yield State(
                settings=settings,
                sessionmaker=create_sessionmaker(engine),
                autocommit_engine=create_autocommit_engine(engine),
                rate_limiter=rate_limiter,
                oauth=OAuthProviders(settings.all_providers, redirect_uri=settings.oauth_redirect_uri),
            )
    finally:
        await rate_limiter.aclose()
        await engine.dispose()


def create_app(settings: Settings) -> FastAPI:
    """Create the application; raises RouteTreeError if a route file is invalid."""
    configure_logging(settings.log_level, json=settings.production)
    load_features("app")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        gc.freeze()  # what is loaded now stays: garbage collection need not visit it (0.1 s per pass)
        async with open_resources(settings) as state:
            yield state

    frontends = settings.frontend_origins
    app = DocumentedFastAPI(
        title=settings.product_name,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None if settings.production else "/openapi.json",
        form_limits={"max_fields": 100, "max_files": 10, "max_part_size": settings.max_body_size},
        responses=problems(400, 500, 503),
        redirect_slashes=False,
        exception_handlers=problem_handlers(on_refusal=audit.record_refusal, error_page=error_page),
        middleware=[  # the first is the outermost
            Middleware(wrap_asgi_with_proxy_headers, trusted_hosts=settings.trusted_proxies),
            Middleware(RequestContextMiddleware),
            Middleware(SecurityHeadersMiddleware, https=settings.production),
            *([Middleware(CORSMiddleware, origins=frontends)] if frontends else []),
            Middleware(ProblemMiddleware, error_page=error_page),
            Middleware(RequestBodyLimitMiddleware, max_body_size=settings.max_body_size),
            Middleware(TrustedHostMiddleware, hosts=settings.allowed_hosts.split(",")),
            Middleware(
                CSRFMiddleware,
                origin=settings.origin,
                frontend_origins=frontends,
                on_refusal=audit.record_refusal,
            ),
            Middleware(BodyTimeoutMiddleware, seconds=settings.body_seconds),
        ],
    )
    if not settings.production:
        add_docs(app, header=docs_page.SIGN_IN_FORM, script=docs_page.SIGN_IN_SCRIPT)
    api = FileRouter(Path(__file__).parent / "api", prefix="/api", guard=require_user)
    api.mount(app, reload=settings.environment == "development")
    return app


def __getattr__(name: str) -> FastAPI:
    """Create `app.main:app` when a server asks for it: importing this module needs no settings."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault("app", create_app(get_settings()))
