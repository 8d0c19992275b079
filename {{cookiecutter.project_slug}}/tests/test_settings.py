"""The settings: typed, from environment and .env, all problems at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.settings import Settings, SettingsError, get_settings

NAMES = [name.upper() for name in Settings.model_fields]


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty folder and an empty environment."""
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def complaints() -> str:
    with pytest.raises(SettingsError) as caught:
        get_settings()
    return str(caught.value)


def test_production_is_the_default_and_names_all_that_is_missing():
    said = complaints()
    assert "6 problem(s)" in said
    for name in (
        "DATABASE_URL",
        "REDIS_URL",
        "ALLOWED_HOSTS",
        "PUBLIC_URL",
        "SIGNING_KEYS",
        "ENCRYPTION_KEYS",
    ):
        assert f"{name}: " in said


def test_development_needs_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ENVIRONMENT", "development")
    assert not get_settings().production


def test_all_problems_at_once_without_their_values(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PORT", "eighty-hunter2")
    monkeypatch.setenv("DATABASE_URL", "mysql://app:hunter2@db/app")
    monkeypatch.setenv("LOG_LEVEL", "hunter2")
    said = complaints()
    assert "PORT: Input should be a valid integer" in said
    assert "DATABASE_URL: must start with postgresql:// or postgres://" in said
    assert "LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'" in said
    assert "hunter2" not in said


def test_a_wrong_type_hides_nothing_that_is_unsafe(monkeypatch: pytest.MonkeyPatch):
    """Nor does one wrong setting count twice."""
    monkeypatch.setenv("PORT", "eighty")
    monkeypatch.setenv("DATABASE_URL", "mysql://db/app")
    monkeypatch.setenv("SIGNING_KEYS", "short")
    said = complaints()
    assert "7 problem(s)" in said
    for name in ("PORT", "DATABASE_URL", "REDIS_URL", "ALLOWED_HOSTS", "PUBLIC_URL", "SIGNING_KEYS"):
        assert said.count(f"  {name}: ") == 1
    monkeypatch.setenv("ENVIRONMENT", "development")
    get_settings.cache_clear()
    assert "2 problem(s)" in complaints()


def test_a_typo_in_the_env_file_is_guessed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("ENVIRONMENT", "development")
    (tmp_path / ".env").write_text("DATABSE_URL=postgresql://a/b\nCOLOUR=red\n")
    said = complaints()
    assert "DATABSE_URL: no setting has this name (.env); did you mean DATABASE_URL?" in said
    assert "COLOUR: no setting has this name (.env); remove it" in said


def test_the_environment_wins_over_the_env_file_over_dev(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / ".dev").mkdir()
    (tmp_path / ".dev/urls.env").write_text(
        "ENVIRONMENT=development\nLOG_LEVEL=error\nPORT=1\nDATABASE_POOL_SIZE=3\n"
    )
    (tmp_path / ".env").write_text("LOG_LEVEL=warning\nPORT=2\n")
    monkeypatch.setenv("PORT", "3")
    settings = get_settings()
    assert (settings.port, settings.log_level, settings.database_pool_size) == (3, "warning", 3)


def test_the_example_file_names_every_setting():
    example = (Path(__file__).parent.parent / ".env.example").read_text()
    assert [name for name in NAMES if f"{name}=" not in example] == []


def test_a_process_ends_with_the_message_and_no_traceback():
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run(
        [sys.executable, "-c", "import app.main"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 1
    assert done.stderr.startswith("The settings have 6 problem(s):")
    assert "Traceback" not in done.stderr
