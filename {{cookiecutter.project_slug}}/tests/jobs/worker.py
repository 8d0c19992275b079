"""The parts of the application, with the tests' jobs: `python -m tests.jobs.worker worker|relay|api`."""

import asyncio
import os
import sys
from importlib import import_module

import tests.jobs.kinds  # noqa: F401
from tests.jobs.plant import die_after_commit

if __name__ == "__main__":
    part = sys.argv.pop(1)
    if part == "api":
        asyncio.run(die_after_commit(os.environ["DATABASE_URL"]))
    import_module(f"app.{part}").main()
