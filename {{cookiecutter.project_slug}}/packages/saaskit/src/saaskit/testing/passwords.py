"""Cheap password hashes for tests that sign users up and in."""

from collections.abc import Iterator
from contextlib import contextmanager

from saaskit.security import passwords


@contextmanager
def cheap_password_hashes() -> Iterator[None]:
    """Hash passwords in less than a millisecond during the block. Everything else is unchanged."""
    memory_kib = passwords.MEMORY_KIB
    try:
        _use(64)
        yield
    finally:
        _use(memory_kib)


def _use(memory_kib: int) -> None:
    passwords.MEMORY_KIB = memory_kib
    passwords.hasher.cache_clear()
    passwords._dummy_hash.cache_clear()
