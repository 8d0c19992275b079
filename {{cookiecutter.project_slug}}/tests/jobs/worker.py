"""The parts of the application, with the tests' jobs: `python -m tests.jobs.worker worker|relay|api`."""

import asyncio
import os
import sys

import tests.jobs.kinds  # noqa: F401
from app import relay, worker

if __name__ == "__main__":
    part = sys.argv.pop(1)
    if part == "api":
        from tests.jobs.faults import die_after_commit

        asyncio.run(die_after_commit(os.environ["DATABASE_URL"]))
    {"worker": worker.main, "relay": relay.main}[part]()
