"""Redirect targets that stay on our own origin."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, StringConstraints


def is_local_path(value: str) -> bool:
    """Return whether every browser resolves `value` to a path on our own origin."""
    if not value.startswith("/") or value.startswith("//") or not value.isprintable() or "\\" in value:
        return False
    parts = urlsplit(value)
    return not parts.scheme and not parts.netloc and " " not in value


def _validate(value: str) -> str:
    if not is_local_path(value):
        raise ValueError("must be a path on this site, as in /welcome")
    return value


LocalPath = Annotated[str, StringConstraints(max_length=500), AfterValidator(_validate)]
"""A path on our own origin, such as `/welcome`."""
