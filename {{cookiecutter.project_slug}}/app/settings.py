"""Environment → typed settings.

Sources, later ones lose: process environment, `.env`, the file that a running `uv run dev`
writes for other terminals. All problems are shown at once, in words, before anything starts.
"""

import difflib
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.setting_types import HttpUrl, List, Provider, keyring, url
from app.unsafe import unsafe

ENV_FILE = Path(".env")
DEV_FILE = Path(".dev/urls.env")
# Read by `dev` and by the tools beside the application, not by the application itself.
FOREIGN = {"HOST", "POSTGRES_PORT", "VALKEY_PORT"}


class SettingsError(SystemExit):
    """The settings are wrong; the message lists every problem and ends the process with status 1."""


class Settings(BaseSettings):
    """What a deployment may set. Names are those of the environment variables, in lower case."""

    model_config = SettingsConfigDict(
        env_file=(DEV_FILE, ENV_FILE),
        env_ignore_empty=True,
        env_nested_delimiter="__",
        extra="ignore",
        hide_input_in_errors=True,
    )

    environment: Literal["development", "test", "production"] = "production"
    """Production unless stated: `uv run dev` and the tests state otherwise."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """TCP port of the API; 0 lets `dev` take any free one."""
    database_url: Annotated[str, url("postgresql", "postgres")] = ""
    """`postgresql://user:password@host:port/database`; required in production."""
    redis_url: Annotated[str, url("redis", "rediss", "valkey", "valkeys")] = ""
    """`redis://:password@host:port/0` of Valkey or Redis: the cache; required in production."""
    celery_broker_url: Annotated[str, url("redis", "rediss", "valkey", "valkeys", "amqp", "amqps")] = ""
    """Where job messages travel; `redis://…/1` or `amqp://…`. Defaults to `REDIS_URL`."""
    lease_seconds: Annotated[float, Field(ge=1, le=3600)] = 30
    """How long a job belongs to a worker that fell silent; then it runs again elsewhere."""
    relay_seconds: Annotated[float, Field(ge=0.05, le=60)] = 1
    """The relay looks for due jobs this often, whether it was woken or not."""
    worker_grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 20
    """How long a stopping worker lets its jobs finish before it hands them back."""
    jobs_keep_days: Annotated[int, Field(ge=1, le=3650)] = 14
    """Finished jobs and what belongs to them are deleted after this many days."""
    smtp_url: Annotated[str, url("smtp", "smtps")] = ""
    """`smtp://user:password@host:587`, or smtps:// for TLS from the first byte; mail needs it."""
    mail_from: str = "app@localhost"
    """Sender of all mail."""
    contact_to: str = "team@localhost"
    """The team's own address, for what visitors write."""
    weather_url: HttpUrl = "https://api.open-meteo.com"
    """Where app/upstreams/weather.py asks for forecasts."""
    geocoding_url: HttpUrl = "https://geocoding-api.open-meteo.com"
    """Where it asks for places."""
    github_url: HttpUrl = "https://api.github.com"
    """Where app/upstreams/github.py passes requests on to."""
    github_token: SecretStr = SecretStr("")
    """Goes along with these requests. Callers read with it: give it no rights but to public data."""
    allowed_hosts: List = "*"
    """Comma-separated host names that the API answers to; `*` for any, refused in production."""
    public_url: HttpUrl = ""
    """Where people reach us: links in mails, redirects and the check against foreign pages derive from it."""
    trusted_proxies: List = ""
    """Comma-separated addresses or networks whose `X-Forwarded-For` and `-Proto` are believed."""
    signing_keys: SecretStr = SecretStr("")
    """Comma-separated, the newest first: it signs, all are accepted. At least 32 characters each."""
    encryption_keys: SecretStr = SecretStr("")
    """Comma-separated Fernet keys, the newest first: it encrypts, all decrypt."""
    providers: dict[str, Provider] = {}
    """Sign-in elsewhere, as JSON, or one variable each: `PROVIDERS__GOOGLE__CLIENT_ID=…`."""
    local_provider: HttpUrl = ""
    """A provider without passwords, for development; `dev` starts one, production refuses it."""
    body_seconds: Annotated[float, Field(gt=0, le=600)] = 30
    """A request's body that is not here after this long is answered 408."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    database_pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    """Connections to PostgreSQL per process; up to 5 more under load."""
    max_body_size: Annotated[int, Field(ge=1024)] = 1024 * 1024
    """Largest accepted request body in bytes, unless a route file says otherwise."""

    @property
    def broker_url(self) -> str:
        """The broker, in the words of Celery, which does not know Valkey's."""
        return re.sub("^valkey", "redis", self.celery_broker_url or self.redis_url)

    @property
    def origin(self) -> str:
        """Scheme, host and port of our own pages, as browsers write them."""
        return self.public_url or f"http://localhost:{self.port}"

    @property
    def all_providers(self) -> dict[str, Provider]:
        """The configured ones, and the local one of `dev`."""
        if not self.local_provider:
            return self.providers
        label, secret = "Local (development only)", SecretStr("local")
        local = Provider(client_id="local", client_secret=secret, issuer=self.local_provider, label=label)
        return self.providers | {"local": local}

    @property
    def signing_keyring(self) -> list[str]:
        """The newest first."""
        return keyring(self.signing_keys)

    @property
    def encryption_keyring(self) -> list[str]:
        """The newest first."""
        return keyring(self.encryption_keys)

    @property
    def production(self) -> bool:
        """Whether this is the real thing: JSON logs, no docs page, strict transport headers."""
        return self.environment == "production"


def _problems(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(map(str, item['loc'])).upper()}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors(include_input=False, include_url=False)
    ]


def _without(error: ValidationError) -> Settings | None:
    """The settings with defaults for the wrong ones, to ask what else is wrong; None for a wrong provider."""
    wrong = {str(item["loc"][0]) for item in error.errors(include_input=False)}
    try:
        return Settings(**{name: Settings.model_fields[name].default for name in wrong})
    except ValidationError:  # a part of a dict cannot be overridden
        return None


def _typos() -> list[str]:
    """Names in `.env` that no setting has. The process environment is not ours to judge."""
    known = {name.upper() for name in Settings.model_fields} | FOREIGN
    found = []
    for name in dotenv_values(ENV_FILE) if ENV_FILE.is_file() else ():
        if name.upper().partition("__")[0] not in known:
            guess = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean {guess[0]}?" if guess else "remove it, or add it to app/settings.py."
            found.append(f"{name}: no setting has this name ({ENV_FILE}); {hint}")
    return found


@lru_cache
def get_settings() -> Settings:
    """Read and check the settings once per process; raises SettingsError with all problems."""
    problems = _typos()
    try:
        settings = Settings()
    except ValidationError as error:
        problems += _problems(error)
        settings = _without(error)
    if settings and settings.production:
        told = {problem.partition(":")[0] for problem in problems}
        problems += [problem for problem in unsafe(settings) if problem.partition(":")[0] not in told]
    if settings is None or problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise SettingsError(
            f"The settings have {len(problems)} problem(s):\n{listed}\n"
            "Set them in the environment or in .env (.env.example shows all); "
            "for development, start `uv run dev`."
        )
    return settings
