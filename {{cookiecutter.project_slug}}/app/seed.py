"""Fill the database with example data, the same every time: `uv run python -m app.seed`.

The data of a feature is in its `seed.py`.
"""

import asyncio
import sys
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from types import ModuleType

from saaskit.db import create_engine, create_sessionmaker
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import User
from app.accounts.seed import SIGN_IN
from app.settings import get_settings


def load_seeds() -> list[ModuleType]:
    """Return the `seed` module of each feature, after the modules of the features in its `AFTER`."""
    features = sorted(path.parent.name for path in Path(__file__).parent.glob("*/seed.py"))
    seeds = {feature: import_module(f"app.{feature}.seed") for feature in features}
    order = TopologicalSorter({feature: module.AFTER for feature, module in seeds.items()})
    return [seeds[feature] for feature in order.static_order()]


async def seed(db: AsyncSession) -> bool:
    """Fill the tables. Returns False, and does nothing, if there are users already."""
    if await db.scalar(select(func.count()).select_from(User)):
        return False
    for module in load_seeds():
        await module.seed(db)
    return True


async def main() -> None:
    """Seed the configured database in one transaction. Refuses in production."""
    settings = get_settings()
    if settings.production:
        raise SystemExit("The example data is not for production: its users have a public password.")
    engine = create_engine(settings.database_url, pool_size=1)
    async with create_sessionmaker(engine).begin() as db:
        done = await seed(db)
    await engine.dispose()
    sys.stdout.write(
        f"{'example data written' if done else 'nothing written: there are users already'}; {SIGN_IN}\n"
    )


if __name__ == "__main__":
    asyncio.run(main())
