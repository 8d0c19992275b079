"""Typed settings from the environment. A product subclasses `Settings` and adds its own fields.

Sources, in order of precedence: the process environment, `.env`, and `.dev/urls.env`, which a running `dev`
writes for other terminals. `load_settings` reports all problems at once.
"""

import difflib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

__all__ = [
    "OAuthProviderSettings",
    "Settings",
    "SettingsError",
    "UpstreamSettings",
    "load_settings",
    "redis_scheme",
]

ENV_FILE = Path(".env")
DEV_FILE = Path(".dev/urls.env")
# Read by `dev` and by tools, not by the application.
TOOL_VARIABLES = {"HOST", "POSTGRES_PORT", "VALKEY_PORT"}
DEVELOPMENT_KEY = "ZGV2ZWxvcG1lbnQtb25seS1uZXZlci1wcm9kdWN0aW8="
"""Signs and encrypts where no keys are set. It is public; production refuses it."""


def url(*schemes: str) -> AfterValidator:
    """Return a validator that accepts URLs with one of these schemes, and the empty string."""

    def check(value: str) -> str:
        if value and value.partition("://")[0] not in schemes:
            raise ValueError(f"must start with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value

    return AfterValidator(check)


def _split_keys(value: object) -> object:
    if isinstance(value, str):
        return [key.strip() for key in value.split(",") if key.strip()] or [DEVELOPMENT_KEY]
    return value


_HOST = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]"
_ORIGIN = re.compile(rf"https?://(?:{_HOST})(?::([1-9][0-9]{{0,4}}))?")


def _split_origins(value: object) -> object:
    """Accept a JSON list or a comma-separated one."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("is no valid JSON list") from None
    return [origin.strip() for origin in value.split(",") if origin.strip()]


def _check_origins(origins: list[str]) -> list[str]:
    matches = [_ORIGIN.fullmatch(origin) for origin in origins]
    if any(match is None or int(match[1] or 0) > 65535 for match in matches):
        raise ValueError(
            "list exact origins, as in `https://app.example.com`, "
            "without wildcards, paths or a slash at the end"
        )
    default_port = re.compile("http:.*:80|https:.*:443")
    if any(origin != origin.lower() or default_port.fullmatch(origin) for origin in origins):
        raise ValueError("write origins as browsers send them: in lower case, and without `:443` or `:80`")
    return origins


Keys = Annotated[list[SecretStr], NoDecode, BeforeValidator(_split_keys)]
CommaSeparated = Annotated[str, BeforeValidator(lambda value: str(value).replace(" ", ""))]
Origins = Annotated[list[str], NoDecode, BeforeValidator(_split_origins), AfterValidator(_check_origins)]
HttpUrl = Annotated[str, url("http", "https"), AfterValidator(lambda value: value.rstrip("/"))]
_REDIS = ("redis", "rediss", "valkey", "valkeys")


class OAuthProviderSettings(BaseModel):
    """An OAuth or OpenID Connect provider that users can sign in with."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    client_id: str
    client_secret: SecretStr = SecretStr("")
    issuer: HttpUrl = ""
    """OpenID Connect issuer. Known for google; not needed for github."""
    label: str = ""
    """The name that users see."""
    keep_tokens: bool = False
    """Store the provider's access and refresh token, encrypted, for calls to its API."""


class UpstreamSettings(BaseModel):
    """Overrides for one upstream, by its name: `UPSTREAMS__GITHUB__SECRET=…`."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    base_url: HttpUrl = ""
    """Replaces the base URL in the code."""
    secret: SecretStr = SecretStr("")
    """Sent with every request to the upstream."""


class Settings(BaseSettings):
    """Settings of the platform. Each field is an environment variable of the same name in upper case."""

    model_config = SettingsConfigDict(
        env_file=(DEV_FILE, ENV_FILE),
        env_ignore_empty=True,
        env_nested_delimiter="__",
        extra="ignore",
        hide_input_in_errors=True,
    )

    environment: Literal["development", "test", "production"] = "production"
    """`uv run dev` sets development, the tests set test. Everything else is production."""
    product_name: str = "App"
    """The product's name, as users see it in pages, mails and the API documentation."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """TCP port of the API; 0 lets `dev` choose a free one."""
    database_url: Annotated[str, url("postgresql", "postgres")] = ""
    """`postgresql://user:password@host:port/database`; required in production."""
    database_pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    """PostgreSQL connections per process; up to 5 more under load."""
    redis_url: Annotated[str, url(*_REDIS)] = ""
    """`redis://:password@host:port/0` of Valkey or Redis: cache and rate limits; required in production."""
    celery_broker_url: Annotated[str, url(*_REDIS, "amqp", "amqps")] = ""
    """Broker for job messages: `redis://…/1` or `amqp://…`. Defaults to `REDIS_URL`."""
    lease_seconds: Annotated[float, Field(ge=1, le=3600)] = 30
    """How long a job stays assigned to a worker that stopped renewing its lease. Then the job runs again."""
    relay_seconds: Annotated[float, Field(ge=0.05, le=60)] = 1
    """How often the relay looks for due jobs when no notification arrives."""
    worker_grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 20
    """How long a stopping worker waits for running jobs before it hands them back."""
    jobs_keep_days: Annotated[int, Field(ge=1, le=3650)] = 14
    """Finished jobs are deleted after this many days."""
    smtp_url: Annotated[str, url("smtp", "smtps")] = ""
    """`smtp://user:password@host:587`, or `smtps://` for TLS from the first byte. Needed to send mail."""
    mail_from: str = "app@localhost"
    """Sender address of all mail."""
    allowed_hosts: CommaSeparated = "*"
    """Comma-separated host names that the API serves. `*` means any and is refused in production."""
    public_url: HttpUrl = ""
    """The URL at which users reach the product. Links, redirects and the CSRF check use it."""
    frontend_origins: Origins = []
    """Comma-separated origins of frontends that may call the API from a browser: `https://app.example.com`."""
    trusted_proxies: CommaSeparated = ""
    """Comma-separated addresses or networks of proxies whose `X-Forwarded-For` and `-Proto` are trusted."""
    signing_keys: Keys = [SecretStr(DEVELOPMENT_KEY)]
    """Comma-separated, newest first: the first signs, all verify. At least 32 characters each."""
    encryption_keys: Keys = [SecretStr(DEVELOPMENT_KEY)]
    """Comma-separated Fernet keys, newest first: the first encrypts, all decrypt."""
    providers: dict[str, OAuthProviderSettings] = {}
    """OAuth providers, as JSON or as one variable per field: `PROVIDERS__GOOGLE__CLIENT_ID=…`."""
    local_provider: HttpUrl = ""
    """URL of the development identity provider, which asks for no password. Refused in production."""
    upstreams: dict[str, UpstreamSettings] = {}
    """Base URLs and secrets of upstreams: `UPSTREAMS__GITHUB__SECRET=…`."""
    body_seconds: Annotated[float, Field(gt=0, le=600)] = 30
    """A request whose body has not arrived after this time gets a 408 response."""
    max_body_size: Annotated[int, Field(ge=1024)] = 1024 * 1024
    """Largest accepted request body in bytes, unless a route file sets its own."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def production(self) -> bool:
        """Whether this is production: JSON logs, no documentation page, strict transport headers."""
        return self.environment == "production"

    @property
    def origin(self) -> str:
        """Scheme, host and port of the product, as browsers write them in `Origin`."""
        return self.public_url or f"http://localhost:{self.port}"

    @property
    def broker_url(self) -> str:
        """The broker URL with a scheme that Celery knows."""
        return redis_scheme(self.celery_broker_url or self.redis_url)

    @property
    def all_providers(self) -> dict[str, OAuthProviderSettings]:
        """The configured providers, and the local one in development."""
        if not self.local_provider:
            return self.providers
        local = OAuthProviderSettings(
            client_id="local",
            client_secret=SecretStr("local"),
            issuer=self.local_provider,
            label="Local (development only)",
        )
        return self.providers | {"local": local}

    def production_problems(self) -> Iterator[str]:
        """Yield `NAME: what to do` for each setting that production must not start with."""
        required = {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}
        yield from (f"{name}: required in production" for name, value in required.items() if not value)
        if "*" in self.allowed_hosts:
            yield "ALLOWED_HOSTS: list the host names of the API, as in `api.example.com`"
        if not re.fullmatch(r"https://[^/?#@]+", self.public_url):
            yield "PUBLIC_URL: must be the product's public URL, as in `https://example.com`"
        if any(origin.startswith("http://") for origin in self.frontend_origins):
            yield "FRONTEND_ORIGINS: must start with https:// in production"
        if "*" in self.trusted_proxies or "/0" in self.trusted_proxies:
            yield "TRUSTED_PROXIES: list your proxies; do not trust every address"
        signing_keys = [key.get_secret_value() for key in self.signing_keys]
        if any(len(key) < 32 or key == DEVELOPMENT_KEY for key in signing_keys):
            yield "SIGNING_KEYS: must be secret, at least 32 characters each: `openssl rand -base64 32`"
        fernet = re.compile(r"[A-Za-z0-9_-]{43}=")
        encryption_keys = [key.get_secret_value() for key in self.encryption_keys]
        if any(not fernet.fullmatch(key) or key == DEVELOPMENT_KEY for key in encryption_keys):
            yield "ENCRYPTION_KEYS: must be secret Fernet keys: `openssl rand -base64 32 | tr +/ -_`"
        if self.local_provider:
            yield "LOCAL_PROVIDER: signs anyone in as anyone; only for development"
        if self.log_level == "debug":
            yield "LOG_LEVEL: debug logs confidential data; use info"
        for name, provider in self.providers.items():
            if provider.issuer.startswith("http://"):
                yield f"PROVIDERS__{name.upper()}__ISSUER: must start with https://"


class SettingsError(SystemExit):
    """The settings are invalid. The message lists every problem; the process exits with status 1."""


S = TypeVar("S", bound=Settings)


def load_settings(cls: type[S]) -> S:
    """Read the settings from the environment; raises SettingsError with all problems."""
    problems = _unknown_names(cls)
    try:
        settings = cls()
    except ValidationError as error:
        problems += _messages(error)
        settings = _with_defaults(cls, error)
    if settings and settings.production:
        reported = {problem.partition(":")[0] for problem in problems}
        problems += [p for p in settings.production_problems() if p.partition(":")[0] not in reported]
    if settings is None or problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise SettingsError(
            f"The settings have {len(problems)} problem(s):\n{lines}\n"
            "Set them in the environment or in .env (.env.example lists all of them). "
            "For development, start `uv run dev`."
        )
    return settings


def redis_scheme(url: str) -> str:
    """Return the URL with `redis` instead of `valkey`, which client libraries do not know."""
    return re.sub("^valkey", "redis", url)


def _messages(error: ValidationError) -> list[str]:
    return [
        f"{'__'.join(map(str, item['loc'])).upper()}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors(include_input=False, include_url=False)
    ]


def _with_defaults(cls: type[S], error: ValidationError) -> S | None:
    """Return the settings with defaults for the invalid ones, to look for further problems.

    None if the invalid value is inside a dict, where it cannot be overridden.
    """
    invalid = {str(item["loc"][0]) for item in error.errors(include_input=False)}
    try:
        return cls(**{name: cls.model_fields[name].default for name in invalid})
    except ValidationError:
        return None


def _unknown_names(cls: type[Settings]) -> list[str]:
    """Return a problem for each name in `.env` that is no setting. The process environment is not checked."""
    known = {name.upper() for name in cls.model_fields} | TOOL_VARIABLES
    problems = []
    for name in dotenv_values(ENV_FILE) if ENV_FILE.is_file() else ():
        if name.upper().partition("__")[0] not in known:
            guess = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean {guess[0]}?" if guess else "remove it, or add it to app/settings.py."
            problems.append(f"{name}: unknown setting in {ENV_FILE}; {hint}")
    return problems
