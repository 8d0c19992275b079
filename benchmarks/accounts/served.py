"""The application that bench.py measures: one handler with one query, public and for signed-in users."""

from app.deps import CurrentUser, Db
from app.main import create_app
from app.settings import get_settings
from sqlalchemy import text

app = create_app(get_settings())


@app.get("/public")
async def public(db: Db) -> dict[str, int]:
    return {"one": (await db.scalar(text("SELECT 1"))) or 0}


@app.get("/guarded")
async def guarded(user: CurrentUser, db: Db) -> dict[str, int]:
    return {"one": (await db.scalar(text("SELECT 1"))) or 0}
