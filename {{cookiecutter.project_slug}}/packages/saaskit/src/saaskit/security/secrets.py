"""Random tokens, which are stored as a hash only, and the keys that sign and encrypt."""

import hashlib
import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet
    from itsdangerous import URLSafeTimedSerializer


def new_token() -> str:
    """Return 256 random bits for a cookie or a link."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """Return the SHA-256 that is stored for a token. The token is random, so a fast hash is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def key_id(key: str) -> str:
    """Return a name for an encryption key that does not reveal it."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def signer(keys: Sequence[str], salt: str) -> "URLSafeTimedSerializer":
    """Return a serializer that signs with the first key and accepts all of them."""
    from itsdangerous import URLSafeTimedSerializer

    # itsdangerous expects the newest key last, and its default digest is SHA-1.
    options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeTimedSerializer(list(reversed(keys)), salt=salt, signer_kwargs=options)


def cipher(keys: Sequence[str]) -> "MultiFernet":
    """Return a cipher that encrypts with the first key and decrypts with any of them."""
    return _cipher(tuple(keys))


@lru_cache(maxsize=8)
def _cipher(keys: tuple[str, ...]) -> "MultiFernet":
    from cryptography.fernet import Fernet, MultiFernet

    return MultiFernet([Fernet(key) for key in keys])
