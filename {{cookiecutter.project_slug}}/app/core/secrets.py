"""Random tokens of which we keep only a hash, and the two keyrings."""

import hashlib
import secrets
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet
    from itsdangerous import URLSafeTimedSerializer

    from app.settings import Settings


def new_token() -> str:
    """256 random bits for a cookie or a link."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """What we store of a token. It is random, so that a fast hash is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def key_id(key: str) -> str:
    """A name for an encryption key that says nothing about it."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def signer(settings: "Settings", salt: str) -> "URLSafeTimedSerializer":
    """Signs with the first of SIGNING_KEYS, accepts all of them."""
    from itsdangerous import URLSafeTimedSerializer

    # itsdangerous wants the newest last, and would take SHA-1.
    modern = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeTimedSerializer(settings.signing_keyring[::-1], salt=salt, signer_kwargs=modern)


def cipher(settings: "Settings") -> "MultiFernet":
    """Encrypts with the first of ENCRYPTION_KEYS, decrypts with any of them."""
    return _fernet(tuple(settings.encryption_keyring))


@lru_cache(maxsize=8)
def _fernet(keys: tuple[str, ...]) -> "MultiFernet":
    from cryptography.fernet import Fernet, MultiFernet

    return MultiFernet([Fernet(key) for key in keys])
