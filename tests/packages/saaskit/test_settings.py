"""Settings: typed, from the environment and `.env`, with all problems reported at once."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, SecretStr
from saaskit.settings import Settings as PlatformSettings
from saaskit.settings import SettingsError, load_settings

KEY = "A" * 42 + "E="


class Settings(PlatformSettings):
    """The platform's settings and one of a product."""

    stars: Annotated[int, Field(ge=1, le=5)] = 5


PRODUCTION = {
    "DATABASE_URL": "postgresql://app:secret@db/app",
    "REDIS_URL": "valkey://cache/0",
    "ALLOWED_HOSTS": "api.example.com",
    "PUBLIC_URL": "https://example.com",
    "SIGNING_KEYS": "a-key-for-tests-of-32-characters-or-more",
    "ENCRYPTION_KEYS": KEY,
}
MISSING = list(PRODUCTION)


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An empty folder and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.lower().partition("__")[0] in Settings.model_fields:
            monkeypatch.delenv(name)
    return monkeypatch


def production(environment: pytest.MonkeyPatch, **changes: str) -> None:
    for name, value in (PRODUCTION | changes).items():
        environment.setenv(name, value)


def problems() -> list[str]:
    """Return the lines of the error, without its first and last sentence."""
    with pytest.raises(SettingsError) as raised:
        load_settings(Settings)
    first, *lines, last = str(raised.value).splitlines()
    assert first == f"The settings have {len(lines)} problem(s):"
    assert ".env.example" in last
    return [line.strip() for line in lines]


def names(problems: list[str]) -> list[str]:
    return [problem.partition(":")[0] for problem in problems]


def test_production_is_the_default_and_names_everything_that_is_missing():
    assert names(problems()) == MISSING


def test_development_needs_no_settings(environment: pytest.MonkeyPatch):
    environment.setenv("ENVIRONMENT", "development")
    settings = load_settings(Settings)
    assert not settings.production
    assert settings.origin == "http://localhost:8000"
    assert settings.signing_keys == settings.encryption_keys != []


def test_complete_settings_start_production(environment: pytest.MonkeyPatch):
    production(environment)
    settings = load_settings(Settings)
    assert settings.production
    assert settings.origin == "https://example.com"
    assert settings.broker_url == "redis://cache/0"
    assert settings.signing_keys == [SecretStr("a-key-for-tests-of-32-characters-or-more")]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ALLOWED_HOSTS", "*", "list the host names"),
        ("ALLOWED_HOSTS", "api.example.com,*.example.com", "list the host names"),
        ("PUBLIC_URL", "http://example.com", "must be the product's public URL"),
        ("PUBLIC_URL", "https://example.com/app", "must be the product's public URL"),
        ("PUBLIC_URL", "https://user@example.com", "must be the product's public URL"),
        ("FRONTEND_ORIGINS", "http://app.example.com", "must start with https:// in production"),
        ("FRONTEND_ORIGINS", "https://app.example.com,http://localhost:3000", "must start with https:// in production"),
        ("TRUSTED_PROXIES", "*", "do not trust every address"),
        ("TRUSTED_PROXIES", "0.0.0.0/0", "do not trust every address"),
        ("TRUSTED_PROXIES", "10.0.0.1, ::/0", "do not trust every address"),
        ("SIGNING_KEYS", "short", "must be secret"),
        ("SIGNING_KEYS", f"{PRODUCTION['SIGNING_KEYS']},short", "must be secret"),
        ("SIGNING_KEYS", "ZGV2ZWxvcG1lbnQtb25seS1uZXZlci1wcm9kdWN0aW8=", "must be secret"),
        ("ENCRYPTION_KEYS", "no Fernet key of 44 characters at all, is it", "must be secret Fernet keys"),
        ("ENCRYPTION_KEYS", "ZGV2ZWxvcG1lbnQtb25seS1uZXZlci1wcm9kdWN0aW8=", "must be secret Fernet keys"),
        ("LOCAL_PROVIDER", "http://127.0.0.1:9400", "only for development"),
        ("LOG_LEVEL", "debug", "logs confidential data"),
        ("PROVIDERS__ACME__ISSUER", "http://id.example.com", "must start with https://"),
    ],
)
def test_an_unsafe_setting_does_not_start_production(
    environment: pytest.MonkeyPatch, name: str, value: str, message: str
):
    changes = {"PROVIDERS__ACME__CLIENT_ID": "acme"} if name.startswith("PROVIDERS") else {}
    production(environment, **changes, **{name: value})
    (problem,) = problems()
    assert problem.startswith(f"{name}: ")
    assert message in problem
    environment.setenv("ENVIRONMENT", "development")
    assert isinstance(load_settings(Settings), Settings)


def test_all_problems_are_reported_at_once_without_their_values(environment: pytest.MonkeyPatch):
    environment.setenv("ENVIRONMENT", "development")
    environment.setenv("PORT", "eighty-hunter2")
    environment.setenv("DATABASE_URL", "mysql://app:hunter2@db/app")
    environment.setenv("LOG_LEVEL", "hunter2")
    environment.setenv("STARS", "6")
    environment.setenv("PROVIDERS__ACME__COLOUR", "hunter2")
    found = problems()
    assert "PORT: Input should be a valid integer, unable to parse string as an integer" in found
    assert "DATABASE_URL: must start with postgresql:// or postgres://" in found
    assert "LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'" in found
    assert "STARS: Input should be less than or equal to 5" in found
    assert "PROVIDERS__ACME__CLIENT_ID: Field required" in found
    assert "PROVIDERS__ACME__COLOUR: Extra inputs are not permitted" in found
    assert len(found) == 6
    assert "hunter2" not in str(found)


def test_an_invalid_setting_does_not_hide_missing_ones_and_counts_once(environment: pytest.MonkeyPatch):
    environment.setenv("PORT", "eighty")
    environment.setenv("DATABASE_URL", "mysql://db/app")
    environment.setenv("SIGNING_KEYS", "short")
    assert sorted(names(problems())) == sorted([*MISSING, "PORT"])
    environment.setenv("ENVIRONMENT", "development")
    assert sorted(names(problems())) == ["DATABASE_URL", "PORT"]


def test_a_misspelt_name_in_the_env_file_is_reported(environment: pytest.MonkeyPatch, tmp_path: Path):
    environment.setenv("ENVIRONMENT", "development")
    (tmp_path / ".env").write_text("DATABSE_URL=postgresql://a/b\nCOLOUR=red\nPOSTGRES_PORT=5432\nSTARS=4\n")
    assert problems() == [
        "DATABSE_URL: unknown setting in .env; did you mean DATABASE_URL?",
        "COLOUR: unknown setting in .env; remove it, or add it to app/settings.py.",
    ]


def test_the_environment_wins_over_the_env_file_and_that_over_dev(environment: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / ".dev").mkdir()
    (tmp_path / ".dev/urls.env").write_text("ENVIRONMENT=development\nLOG_LEVEL=error\nPORT=1\nDATABASE_POOL_SIZE=3\n")
    (tmp_path / ".env").write_text("LOG_LEVEL=warning\nPORT=2\nSTARS=\n")
    environment.setenv("PORT", "3")
    settings = load_settings(Settings)
    assert (settings.port, settings.log_level, settings.database_pool_size) == (3, "warning", 3)
    assert settings.stars == 5  # an empty value counts as not set


def test_nested_settings_are_one_variable_per_field_or_json(environment: pytest.MonkeyPatch):
    environment.setenv("ENVIRONMENT", "development")
    environment.setenv("PROVIDERS__GOOGLE__CLIENT_ID", "id")
    environment.setenv("PROVIDERS__GOOGLE__CLIENT_SECRET", "hunter2")
    environment.setenv("UPSTREAMS", '{"github": {"base_url": "https://github.example/"}}')
    environment.setenv("UPSTREAMS__GITHUB__SECRET", "hunter2")
    settings = load_settings(Settings)
    assert settings.providers["google"].client_id == "id"
    assert settings.providers["google"].client_secret.get_secret_value() == "hunter2"
    assert settings.upstreams["github"].base_url == "https://github.example"
    assert settings.upstreams["github"].secret.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings)


@pytest.mark.requirement("OPS-5")
def test_no_secret_is_shown(environment: pytest.MonkeyPatch):
    provider = {"PROVIDERS__GOOGLE__CLIENT_ID": "id", "PROVIDERS__GOOGLE__CLIENT_SECRET": f"3{KEY}"}
    production(environment, SIGNING_KEYS=f"1{KEY}", ENCRYPTION_KEYS=KEY, **provider)
    settings = load_settings(Settings)
    assert KEY not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_the_local_provider_is_one_of_the_providers(environment: pytest.MonkeyPatch):
    environment.setenv("ENVIRONMENT", "development")
    environment.setenv("PROVIDERS__GOOGLE__CLIENT_ID", "id")
    assert list(load_settings(Settings).all_providers) == ["google"]
    environment.setenv("LOCAL_PROVIDER", "http://127.0.0.1:9400")
    assert list(load_settings(Settings).all_providers) == ["google", "local"]
    assert load_settings(Settings).all_providers["local"].issuer == "http://127.0.0.1:9400"


def test_blanks_in_lists_are_removed(environment: pytest.MonkeyPatch):
    production(
        environment,
        ALLOWED_HOSTS="a.example.com, b.example.com",
        TRUSTED_PROXIES="10.0.0.1, 10.0.1.0/24",
        ENCRYPTION_KEYS=f"{KEY}, {KEY} ,",
    )
    settings = load_settings(Settings)
    assert settings.allowed_hosts == "a.example.com,b.example.com"
    assert settings.trusted_proxies == "10.0.0.1,10.0.1.0/24"
    assert settings.encryption_keys == [SecretStr(KEY), SecretStr(KEY)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        (" , ", []),
        ("[]", []),
        ("http://localhost:3000", ["http://localhost:3000"]),
        (
            "https://a.example.com, https://b.example.com:8443 ,",
            ["https://a.example.com", "https://b.example.com:8443"],
        ),
        ('["http://[::1]:5173", "http://127.0.0.1"]', ["http://[::1]:5173", "http://127.0.0.1"]),
    ],
)
def test_frontend_origins_are_comma_separated_or_json(environment: pytest.MonkeyPatch, value: str, expected: list[str]):
    environment.setenv("ENVIRONMENT", "development")
    assert load_settings(Settings).frontend_origins == []
    environment.setenv("FRONTEND_ORIGINS", value)
    assert load_settings(Settings).frontend_origins == expected


EXACT = "list exact origins, as in `https://app.example.com`, without wildcards, paths or a slash at the end"
AS_SENT = "write origins as browsers send them: in lower case, and without `:443` or `:80`"


@pytest.mark.requirement("CSRF-4")
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("*", EXACT),
        ("https://*.example.com", EXACT),
        ("https://app.example.com,*", EXACT),
        ("null", EXACT),
        ("https://app.example.com/", EXACT),
        ("https://app.example.com/login", EXACT),
        ("https://app.example.com?a=b", EXACT),
        ("https://app.example.com#top", EXACT),
        ("https://ada:hunter2@app.example.com", EXACT),
        ("ftp://app.example.com", EXACT),
        ("file://", EXACT),
        ("app.example.com", EXACT),
        ("https://", EXACT),
        ("https://app.example.com:", EXACT),
        ("https://app.example.com:70000", EXACT),
        ("https://app..example.com", EXACT),
        ("https://bücher.example", EXACT),
        ("https://a.example https://b.example", EXACT),
        ("https://App.example.com", AS_SENT),
        ("HTTPS://app.example.com", EXACT),
        ("https://app.example.com:443", AS_SENT),
        ("http://app.example.com:80", AS_SENT),
        ('["https://app.example.com"', "is no valid JSON list"),
    ],
)
def test_frontend_origins_are_exact(environment: pytest.MonkeyPatch, value: str, message: str):
    environment.setenv("ENVIRONMENT", "development")
    environment.setenv("FRONTEND_ORIGINS", value)
    environment.setenv("PORT", "eighty")
    found = problems()
    assert f"FRONTEND_ORIGINS: {message}" in found
    assert names(found) == ["PORT", "FRONTEND_ORIGINS"]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("broker", "expected"),
    [
        ("", "redis://cache/0"),
        ("valkeys://broker/1", "rediss://broker/1"),
        ("redis://broker/1", "redis://broker/1"),
        ("amqp://guest@rabbit//", "amqp://guest@rabbit//"),
    ],
)
def test_the_broker_url_is_one_that_celery_knows(environment: pytest.MonkeyPatch, broker: str, expected: str):
    production(environment, CELERY_BROKER_URL=broker)
    assert load_settings(Settings).broker_url == expected


def test_a_process_ends_with_the_message_and_no_traceback(tmp_path: Path):
    code = "from saaskit.settings import Settings, load_settings; load_settings(Settings)"
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 1
    assert process.stderr.startswith("The settings have 6 problem(s):\n  DATABASE_URL: required in production\n")
    assert "Traceback" not in process.stderr
