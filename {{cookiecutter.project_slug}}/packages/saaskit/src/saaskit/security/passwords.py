"""Hash and verify passwords with Argon2, and check new ones (NIST SP 800-63B-4, §3.1.1)."""

import os
import unicodedata
from asyncio import Semaphore, get_running_loop, to_thread
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from saaskit.errors import ServiceUnavailable, Unprocessable
from saaskit.security import password_strength

if TYPE_CHECKING:
    from pwdlib import PasswordHash

T = TypeVar("T")
MIN_LENGTH = 15
"""NIST requires 15 characters where the password is the only factor."""
MAX_LENGTH = 256
MAX_RUNNING = os.cpu_count() or 1
MAX_WAITING = 16
"""Further calls are refused with 503."""
MEMORY_KIB = 47_104
"""Memory of one hash: with one pass OWASP's first choice of parameters, about 40 ms."""


@lru_cache
def hasher() -> "PasswordHash":
    """Return Argon2id."""
    # Imported here: it takes 30 ms, and only sign-in and sign-up need it.
    from pwdlib import PasswordHash
    from pwdlib.hashers.argon2 import Argon2Hasher

    return PasswordHash((Argon2Hasher(time_cost=1, memory_cost=MEMORY_KIB, parallelism=1),))


async def hash_password(password: str) -> str:
    """Return the Argon2 hash, with its salt and parameters."""
    return await _run(hasher().hash, _normalize(password))


async def verify_password(password: str, stored: str | None) -> tuple[bool, str | None]:
    """Return whether the password is correct, and a new hash if the stored one has outdated parameters.

    Takes the same time if `stored` is None, and then returns `(False, None)`.
    """
    correct, new_hash = await _run(_verify, _normalize(password), stored)
    return (correct, new_hash) if stored else (False, None)


async def check_new_password(password: str, *, user_words: list[str], field: str = "password") -> None:
    """Raise Unprocessable unless the password is long enough and hard to guess.

    `user_words` are texts that an attacker would try first, such as the user's name. `field` names the input.
    """
    normalized = _normalize(password)
    reason = f"use at least {MIN_LENGTH} characters; a few random words are easy to remember"
    if len(normalized) >= MIN_LENGTH:
        reason = await _run(password_strength.check, normalized, user_words)
    if reason:
        error = {"location": "body", "field": field, "message": reason, "type": "weak_password"}
        raise Unprocessable("This password is too easy to guess.", errors=[error])


@lru_cache
def _dummy_hash() -> str:
    """Return a hash to verify against when the account has none, so that both cases take the same time."""
    return hasher().hash(os.urandom(16).hex())


def _verify(password: str, stored: str | None) -> tuple[bool, str | None]:
    return hasher().verify_and_update(password, stored or _dummy_hash())


def _normalize(password: str) -> str:
    """NFKC, as NIST asks: the same password typed on another keyboard."""
    return unicodedata.normalize("NFKC", password)


class _Pool:
    """Limits hashing to one thread per core, which bounds memory and keeps other requests fast."""

    def __init__(self) -> None:
        self.slots = Semaphore(MAX_RUNNING)
        self.count = 0


_pools: "WeakKeyDictionary[object, _Pool]" = WeakKeyDictionary()


async def _run(function: Callable[..., T], *arguments: Any) -> T:
    pool = _pools.setdefault(get_running_loop(), _Pool())
    if pool.count >= MAX_RUNNING + MAX_WAITING:
        raise ServiceUnavailable("The server is busy. Try again in a few seconds.")
    pool.count += 1
    try:
        async with pool.slots:
            return await to_thread(function, *arguments)
    finally:
        pool.count -= 1
