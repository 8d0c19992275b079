"""Write `openapi.json`: `uv run python -m app.openapi`. With `--check`, exit with 1 if it is not current."""

import sys

from saaskit.web import write_or_check

from app.main import create_app
from app.settings import Settings

if __name__ == "__main__":
    write_or_check(create_app(Settings(environment="development")), sys.argv[1:])
