"""Downloads."""

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import NotFound
from app.models.files import File


async def find(db: AsyncSession, path: str) -> File:
    """The file under `path`, or NotFound."""
    file = await db.get(File, path)
    if file is None:
        raise NotFound("There is no such file.")
    return file
