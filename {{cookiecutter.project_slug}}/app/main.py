"""The application: the one place where everything is wired."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from app.core.application import Application, settle
from app.core.connections import connected
from app.core.db import create_engine, create_lookups, create_sessions
from app.core.docs import add_docs
from app.core.edge import add_edge
from app.core.logging import configure_logging
from app.core.problems import add_problem_handlers, problems
from app.deps import require_user
from app.services import events
from app.settings import Settings, get_settings
from filerouter import FileRouter


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Hold the process's connections. Nothing is connected before the first request needs it."""
    engine = create_engine(app.state.settings.database_url, app.state.settings.database_pool_size)
    app.state.sessions = create_sessions(engine)
    app.state.lookups = create_lookups(engine)
    settle()
    async with connected(app.state.settings):
        yield
    await app.state.throttle.close()
    await engine.dispose()


def create_app(settings: Settings) -> FastAPI:
    """Wire an application; raises RouteTreeError when a route file is wrong."""
    configure_logging(settings.log_level, json=settings.production)
    app = Application(
        title="API",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None if settings.production else "/openapi.json",
        max_body_size=settings.max_body_size,
        form_limits={"max_fields": 100, "max_files": 10, "max_part_size": settings.max_body_size},
        responses=problems(400, 413, 422, 500, 503),
        redirect_slashes=False,
    )
    add_edge(app, settings, events.refused)
    add_problem_handlers(app)
    if not settings.production:
        add_docs(app)
    api = FileRouter(Path(__file__).parent / "api", prefix="/api", guard=require_user)
    api.mount(app, reload=settings.environment == "development")
    return app


app = create_app(get_settings())
