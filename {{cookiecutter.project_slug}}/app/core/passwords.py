"""Argon2 in a bounded pool, and which passwords are good enough (NIST SP 800-63B-4, §3.1.1)."""

import os
import unicodedata
from asyncio import Semaphore, get_running_loop, to_thread
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from app.core.errors import Unavailable, Unprocessable
from app.core.guessing import weakness

if TYPE_CHECKING:
    from pwdlib import PasswordHash

T = TypeVar("T")
MIN_LENGTH = 15
"""NIST asks for 15 where the password is the only factor."""
MAX_LENGTH = 256
AT_ONCE = os.cpu_count() or 1
WAITING = 16
"""Behind those at work; more are told to come back."""


@lru_cache
def hasher() -> "PasswordHash":
    """argon2id with OWASP's first choice of parameters: 46 MiB, one pass, about 40 ms."""
    # Half of the 30 ms that this costs to import is cffi's; only sign-in and sign-up need it.
    from pwdlib import PasswordHash
    from pwdlib.hashers.argon2 import Argon2Hasher

    return PasswordHash((Argon2Hasher(time_cost=1, memory_cost=47_104, parallelism=1),))


@lru_cache
def _dummy() -> str:
    """Somebody's hash where there is nobody: costs as much to verify as any."""
    return hasher().hash(os.urandom(16).hex())


class _Pool:
    """As many threads as cores: memory and other requests stay within bounds."""

    def __init__(self) -> None:
        self.slots = Semaphore(AT_ONCE)
        self.inside = 0


_pools: "WeakKeyDictionary[object, _Pool]" = WeakKeyDictionary()


async def _run(work: Callable[..., T], *arguments: Any) -> T:
    pool = _pools.setdefault(get_running_loop(), _Pool())
    if pool.inside >= AT_ONCE + WAITING:
        raise Unavailable("Too many people sign in at this moment. Try again in a second.")
    pool.inside += 1
    try:
        async with pool.slots:
            return await to_thread(work, *arguments)
    finally:
        pool.inside -= 1


def _canonical(password: str) -> str:
    """NFKC, as NIST asks: the same password from another keyboard."""
    return unicodedata.normalize("NFKC", password)


async def hash_password(password: str) -> str:
    """The Argon2 hash, salt and parameters included."""
    return await _run(hasher().hash, _canonical(password))


async def verify(password: str, stored: str | None) -> tuple[bool, str | None]:
    """Whether it is the password, and a hash to store instead if the parameters are out of date.

    Takes the same time when nothing is stored.
    """
    correct, newer = await _run(_verify, _canonical(password), stored)
    return (correct, newer) if stored else (False, None)


def _verify(password: str, stored: str | None) -> tuple[bool, str | None]:
    return hasher().verify_and_update(password, stored or _dummy())


async def check(password: str, *, about: list[str], field: str = "password") -> None:
    """Unprocessable, with the reason, unless it is long and hard to guess for who knows `about`."""
    canonical = _canonical(password)
    reason = f"use at least {MIN_LENGTH} characters; a few random words are easy to remember"
    if len(canonical) >= MIN_LENGTH:
        reason = await _run(weakness, canonical, about)
    if reason:
        error = {"location": "body", "field": field, "message": reason, "type": "weak_password"}
        raise Unprocessable("This password is too easy to guess.", errors=[error])
