"""Heavy work: job classes and the small functions that do them, which call services. One noun per file."""

import pkgutil
from importlib import import_module


def register() -> None:
    """Import them all, so that relay and worker know every kind and every schedule."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
