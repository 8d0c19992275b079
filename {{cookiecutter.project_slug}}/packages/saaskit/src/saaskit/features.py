"""Features of a product: the folders of its package that have a `models.py` or a `jobs.py`."""

from importlib import import_module
from pathlib import Path

__all__ = ["load_features"]


def load_features(package: str) -> None:
    """Import the tables and jobs of every feature, so that SQLAlchemy, Alembic and the worker know them.

    `load_features("app")` imports `app/<feature>/models.py`, then `app/<feature>/jobs.py`, and then the
    platform's own jobs.
    """
    folder = Path(import_module(package).__path__[0])
    for module in ("models", "jobs"):
        for path in sorted(folder.glob(f"*/{module}.py")):
            import_module(f"{package}.{path.parent.name}.{module}")
    import_module("saaskit.jobs.retention")
    import_module("saaskit.mail")
