"""The command `uv run jobs`: list, watch, retry and cancel background jobs."""

from saaskit.features import load_features
from saaskit.jobs import cli

from app.settings import get_settings


def main() -> None:
    """Run the command on the database of the settings."""
    load_features("app")
    cli.main(get_settings())
