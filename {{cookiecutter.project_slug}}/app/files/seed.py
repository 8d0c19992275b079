"""Example files."""

from sqlalchemy.ext.asyncio import AsyncSession

from app.files.models import File

AFTER: list[str] = []
FILES = {
    "guides/getting-started.md": "# Getting started\n\nEvery file under `app/api/` is an endpoint.\n",
    "guides/routing/parameters.md": "# Parameters\n\n`[id].py` takes one segment, `[...path].py` the rest.\n",
    "legal/terms.txt": "Be kind. Pay on time.\n",
}


async def seed(db: AsyncSession) -> None:
    """Create the files."""
    db.add_all(
        File(path=path, media_type="text/plain; charset=utf-8", content=text.encode())
        for path, text in FILES.items()
    )
