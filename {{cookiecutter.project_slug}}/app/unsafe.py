"""Settings that production refuses to start with."""

import re
from collections.abc import Iterator
from typing import Any

DEVELOPMENT_KEY = "ZGV2ZWxvcG1lbnQtb25seS1uZXZlci1wcm9kdWN0aW8="
"""Signs and encrypts where no keys are set. Everybody knows it."""
FERNET = re.compile(r"[A-Za-z0-9_-]{43}=")


def unsafe(settings: Any) -> Iterator[str]:
    """What must not be so in production, in the `Settings` that import this."""
    required = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
    yield from (f"{name}: required in production" for name, value in required.items() if not value)
    if "*" in settings.allowed_hosts:
        yield "ALLOWED_HOSTS: name the hosts that the API answers to, as in `api.example.com`"
    if not re.fullmatch(r"https://[^/?#@]+", settings.public_url):
        yield "PUBLIC_URL: must be where people reach us, as in `https://example.com`"
    if "*" in settings.trusted_proxies or "/0" in settings.trusted_proxies:
        yield "TRUSTED_PROXIES: name your proxies; not everybody may say who they are"
    if any(len(key) < 32 or key == DEVELOPMENT_KEY for key in settings.signing_keyring):
        yield "SIGNING_KEYS: must be secret, 32 characters or more each, as from `openssl rand -base64 32`"
    if any(not FERNET.fullmatch(key) or key == DEVELOPMENT_KEY for key in settings.encryption_keyring):
        yield "ENCRYPTION_KEYS: must be secret Fernet keys: `openssl rand -base64 32 | tr +/ -_`"
    if settings.local_provider:
        yield "LOCAL_PROVIDER: lets anybody in as anybody; development only"
    if settings.log_level == "debug":
        yield "LOG_LEVEL: debug shows what nobody should see; use info"
    for name, provider in settings.providers.items():
        if provider.issuer.startswith("http://"):
            yield f"PROVIDERS__{name.upper()}__ISSUER: must start with https://"
