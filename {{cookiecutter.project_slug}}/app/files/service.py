"""Files for download."""

from saaskit.errors import NotFound
from sqlalchemy.ext.asyncio import AsyncSession

from app.files.models import File


async def get(db: AsyncSession, path: str) -> File:
    """Return the file; raises NotFound."""
    file = await db.get(File, path)
    if file is None:
        raise NotFound("There is no such file.")
    return file
