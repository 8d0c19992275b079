"""The command `uv run jobs`: list, watch, retry and cancel background jobs."""

from saaskit.features import load_features
from saaskit.jobs.cli import main as run_command

from app.settings import get_settings


def main() -> None:
    """Run the command on the database of the settings."""
    load_features("app")
    run_command(get_settings())


if __name__ == "__main__":  # in the image, which has no scripts of the project
    main()
