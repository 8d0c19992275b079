"""Cheap password hashes for tests that sign users up and in."""

from collections.abc import Iterator
from contextlib import contextmanager

from saaskit import security


@contextmanager
def cheap_password_hashes() -> Iterator[None]:
    """Hash passwords in less than a millisecond during the block. Everything else is unchanged."""
    memory_kib = security.MEMORY_KIB
    try:
        _use(64)
        yield
    finally:
        _use(memory_kib)


def _use(memory_kib: int) -> None:
    security.MEMORY_KIB = memory_kib
    security.hasher.cache_clear()
    security._dummy_hash.cache_clear()
