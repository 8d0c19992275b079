"""Passwords, random tokens, signing and encryption."""

from saaskit.security.passwords import check_new_password, hash_password, verify_password
from saaskit.security.secrets import cipher, digest, key_id, new_token, signer

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
