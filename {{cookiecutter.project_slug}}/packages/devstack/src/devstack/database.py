"""The database before the application starts: at the newest migration; if it was empty, with example data."""

import asyncio
import signal
import subprocess
import sys
import time

from . import launch, migrations
from .errors import Problem
from .files import last_lines
from .project import Project
from .terminal import Terminal


async def prepare(project: Project, terminal: Terminal, *, ours: bool) -> None:
    """Migrate if need be; seed after the very first migration. `ours`: it is not a person's DATABASE_URL.

    Between the two we may be killed. A file says so, and the next start fills the database after all.
    """
    began = time.monotonic()
    at, heads = (
        await migrations.current(project.environment()["DATABASE_URL"]),
        migrations.heads(project.migrations),
    )
    unseeded = project.state / "unseeded"
    empty = not at and bool(heads) and project.seed.is_file()
    if empty and ours:
        unseeded.touch()
    if at == heads:
        terminal.step("migrate", "nothing to do", time.monotonic() - began)
    else:
        code, output = await _run(project, project.command(project.migrate))
        if code:
            where, why = migrations.culprit(output, project.migrations), migrations.reason(output)
            raise Problem(f"The migration failed: {where}. The application was not started.\n{why}")
        terminal.step("migrate", project.migrate, time.monotonic() - began)
    if (empty or (ours and unseeded.exists())) and await _seed(project, terminal):
        unseeded.unlink(missing_ok=True)


async def _seed(project: Project, terminal: Terminal) -> bool:
    """Run the seed and show the last line that it prints: how to sign in, say."""
    began = time.monotonic()
    module = ".".join(project.seed.relative_to(project.folder).with_suffix("").parts)
    code, output = await _run(project, [sys.executable, "-m", module])
    text = (output.strip().splitlines() or ["example data"])[-1]
    if code:
        text = f"failed; again by: python -m {module}\n{last_lines(output)}"
    terminal.step("seed", text, time.monotonic() - began)
    return not code


async def _run(project: Project, command: list[str]) -> tuple[int | None, str]:
    """Run a command to its end; its code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=project.folder,
        env=project.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **launch.options(signal.SIGTERM),
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode(errors="replace")
