"""docs/how-to/back-up-and-restore.md: its commands, run while jobs are created, running and finishing."""

import asyncio
import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from devstack.postgres import find_programs
from packages.saaskit.jobs.job_system import JobSystem, eventually
from packages.saaskit.jobs.kinds import Work
from packages.saaskit.jobs.test_mail import smtp_server
from redis import Redis
from saaskit.jobs import JobRecord
from saaskit.mail import SendEmail
from sqlalchemy import func, text, update

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[4] / "docs/how-to/back-up-and-restore.md"
"""The how-to."""


async def run(start: str, folder: Path, **variables: str) -> None:
    """Run the one command of the how-to that starts with this."""
    (command,) = re.findall(rf"^ *\$ ({re.escape(start)} .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    path = f"{find_programs()}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_shell(
        command, cwd=folder, env=os.environ | variables | {"PATH": path}, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


async def create_jobs(system: JobSystem) -> None:
    """Create jobs until the task is cancelled."""
    for number in range(1_000_000):
        await system.enqueue(Work(number=number))


async def test_a_backup_under_load_is_restored_and_its_jobs_end(
    idle: JobSystem, new_database: Callable[[], str], tmp_path: Path, unused_tcp_port: int
):
    idle.environment |= {"SMTP_URL": f"smtp://127.0.0.1:{unused_tcp_port}", "MAIL_FROM": "app@example.com"}
    with smtp_server(unused_tcp_port) as inbox:
        email = await idle.enqueue(SendEmail(to="ada@example.com", subject="Hello", text="x"), delay=timedelta(hours=1))
        idle.worker()
        idle.relay()
        running = await idle.enqueue(Work(seconds=600))
        await idle.wait_for(running, "running")
        load = asyncio.create_task(create_jobs(idle))
        await eventually(lambda: idle.count("effects"), explain=idle.logs)
        await run("pg_dump", tmp_path, DATABASE_URL=idle.database)
        load.cancel()
        # The e-mail is sent and a job is created after the backup.
        later = await idle.enqueue(Work())
        async with idle.sessionmaker.begin() as db:
            await db.execute(update(JobRecord).where(JobRecord.id == email).values(run_after=func.now(), priority=9))
        await idle.wait_for(email, "succeeded")
        for process in list(idle.processes):
            idle.kill(process)

        restored = JobSystem(tmp_path, await asyncio.to_thread(new_database), idle.broker)
        restored.environment |= {name: idle.environment[name] for name in ("SMTP_URL", "MAIL_FROM")}
        async with restored.engine.begin() as connection:
            await connection.execute(text("DROP SCHEMA public CASCADE"))
            await connection.execute(text("CREATE SCHEMA public"))
        await run("pg_restore", tmp_path, RESTORED_URL=restored.database)
        with Redis.from_url(restored.broker) as redis:
            redis.flushdb()
        try:
            assert (await restored.get(running)).state == "running"
            assert (await restored.get(email)).state == "queued"
            assert await restored.count("jobs", f"id = '{later}'") == 0
            finished = await restored.count("jobs", "state = 'succeeded'")
            assert finished
            async with restored.sessionmaker.begin() as db:
                await db.execute(update(JobRecord).where(JobRecord.id == email).values(run_after=func.now()))

            restored.worker()
            restored.relay()

            async def has_ended() -> bool:
                return await restored.count("jobs", "state <> 'succeeded'") == 1

            await eventually(has_ended, 120, restored.logs)
            row = await restored.wait_for(running, "running")
            assert row.attempts == 2
            assert await restored.count("jobs") == await restored.count("effects") + 2, "one effect for each job"
            assert await restored.count("jobs") > finished + 2
            first, second = inbox.emails
            assert first["Message-ID"] == second["Message-ID"]
        finally:
            await restored.close()
