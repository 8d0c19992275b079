"""Passwords (NIST SP 800-63B-4 §3.1.1), random tokens, and the keys that sign and encrypt."""

import hashlib
import os
import re
import secrets
import unicodedata
from asyncio import Semaphore, get_running_loop, to_thread
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from pydantic import SecretStr

from saaskit.errors import ServiceUnavailable, Unprocessable

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet
    from itsdangerous import URLSafeTimedSerializer
    from pwdlib import PasswordHash

__all__ = [
    "check_new_password",
    "cipher",
    "digest",
    "hash_password",
    "key_id",
    "new_token",
    "signer",
    "verify_password",
]

T = TypeVar("T")
MIN_LENGTH = 15
"""NIST requires 15 characters where the password is the only factor."""
MAX_LENGTH = 256
MAX_RUNNING = os.cpu_count() or 1
MAX_WAITING = 16
"""Further calls are refused with 503."""
MEMORY_KIB = 47_104
"""Memory of one hash: with one pass OWASP's first choice of parameters, about 40 ms."""
_MIN_SCORE = 3
_ZXCVBN_MAX_LENGTH = 72
"""zxcvbn refuses longer passwords."""
_MAX_READINGS = 8
"""zxcvbn tries every combination of letters that the password's signs can stand for. `4` or `@` for `a` are
two readings; `(` or `{` for `c` double them."""
_SUBSTITUTES = str.maketrans("@{[<!|$+", "4(((1157")
_zxcvbn_lock = Lock()  # zxcvbn keeps the user's words in a global


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
        reason = await _run(password_weakness, normalized, user_words)
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


def password_weakness(password: str, user_words: list[str]) -> str | None:
    """Return why the password is too easy to guess for someone who knows `user_words`, or None."""
    from zxcvbn import zxcvbn  # loads 30,000 common passwords: 0.1 s

    words = [word for text in user_words for word in (text, *re.findall(r"\w+", text))]
    with _zxcvbn_lock:
        result = zxcvbn(_with_few_readings(password[:_ZXCVBN_MAX_LENGTH]), user_inputs=words)
    if result["score"] >= _MIN_SCORE:
        return None
    return result["feedback"]["warning"] or "it follows a pattern that guessing programs try early"


def _with_few_readings(password: str) -> str:
    """Use one sign per letter if there are many readings; zxcvbn would need seconds for all of them."""
    from zxcvbn.matching import L33T_TABLE

    readings = prod(max(1, sum(sign in password for sign in signs)) for signs in L33T_TABLE.values())
    return password.translate(_SUBSTITUTES) if readings > _MAX_READINGS else password


def new_token() -> str:
    """Return 256 random bits for a cookie or a link."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """Return the SHA-256 that is stored for a token. The token is random, so a fast hash is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def key_id(key: SecretStr) -> str:
    """Return a name for an encryption key that does not reveal it."""
    return hashlib.sha256(key.get_secret_value().encode()).hexdigest()[:16]


def signer(keys: Sequence[SecretStr], salt: str) -> "URLSafeTimedSerializer":
    """Return a serializer that signs with the first key and accepts all of them."""
    from itsdangerous import URLSafeTimedSerializer

    # itsdangerous expects the newest key last, and its default digest is SHA-1.
    options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    newest_last = [key.get_secret_value() for key in reversed(keys)]
    return URLSafeTimedSerializer(newest_last, salt=salt, signer_kwargs=options)


def cipher(keys: Sequence[SecretStr]) -> "MultiFernet":
    """Return a cipher that encrypts with the first key and decrypts with any of them."""
    return _cipher(tuple(key.get_secret_value() for key in keys))


@lru_cache(maxsize=8)
def _cipher(keys: tuple[str, ...]) -> "MultiFernet":
    from cryptography.fernet import Fernet, MultiFernet

    return MultiFernet([Fernet(key) for key in keys])
