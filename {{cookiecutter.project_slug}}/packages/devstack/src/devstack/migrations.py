"""Bring the database to the newest migration before the application starts, and seed it if it was empty.

Whether it is at the newest migration is checked without Alembic: importing it takes longer than the check.
"""

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path

from . import launch
from .errors import DevstackError
from .output import Terminal, last_lines
from .postgres import connect
from .project import Project


async def prepare_database(project: Project, terminal: Terminal, *, embedded: bool) -> None:
    """Apply new migrations, and seed the database after the very first one.

    A marker file makes the next start repeat an interrupted seed, but only in the `embedded` server: another
    database may contain data by then. Raises DevstackError if a migration fails.
    """
    began = time.monotonic()
    current = await current_revisions(project.environment()["DATABASE_URL"])
    heads = head_revisions(project.migrations)
    unseeded = project.state / "unseeded"
    first = not current and bool(heads) and project.seed.is_file()
    if first and embedded:
        unseeded.touch()
    if current == heads:
        terminal.step("migrate", "nothing to do", time.monotonic() - began)
    else:
        code, output = await _run(project, project.command(project.migrate))
        if code:
            where = find_failed_migration(output, project.migrations)
            raise DevstackError(
                f"The migration failed: {where}. The application was not started.\n{_last_error(output)}"
            )
        terminal.step("migrate", project.migrate, time.monotonic() - began)
    if (first or (embedded and unseeded.exists())) and await _seed(project, terminal):
        unseeded.unlink(missing_ok=True)


async def current_revisions(url: str) -> set[str]:
    """Return the revisions of the database, none if it was never migrated. Raises DevstackError."""
    connection = await connect("DATABASE_URL", url)
    try:
        if not await connection.fetchval("select to_regclass('alembic_version')"):
            return set()
        return {row[0] for row in await connection.fetch("select version_num from alembic_version")}
    finally:
        await connection.close()


def head_revisions(folder: Path) -> set[str]:
    """Return the revisions in the folder's files that no other file is based on."""
    files = list(folder.glob("*.py"))
    revisions = {revision for file in files for revision in _revisions(file, "revision")}
    return revisions - {base for file in files for base in _revisions(file, "down_revision")}


def find_failed_migration(output: str, folder: Path) -> str:
    """Return the file and revision at which a migration failed, as far as its output shows them."""
    for name in reversed(re.findall(r'File "([^"]+\.py)"', output)):
        file = Path(name)
        if file.parent == folder and file.is_file():
            return f"{file.name} (revision {', '.join(_revisions(file, 'revision')) or '?'})"
    steps = re.findall(r"Running upgrade .*", output)
    return steps[-1] if steps else "before the first step"


def _last_error(output: str) -> str:
    """Return the last error line of a traceback, without the SQL statement that drivers print below it."""
    errors = re.findall(r"^[\w.]+(?:Error|Exception): .*", output, re.MULTILINE)
    return f"  {errors[-1]}" if errors else last_lines(output)


def _revisions(file: Path, name: str) -> set[str]:
    """Return the strings that a migration assigns to `revision` or `down_revision`. Does not import it."""
    text = file.read_text("utf-8", errors="replace")
    value = re.search(rf"^{name}\b[^=\n]*=\s*(\([^)]*\)|.*)", text, re.MULTILINE)
    return set(re.findall(r"""["']([^"']+)["']""", value[1])) if value else set()


async def _seed(project: Project, terminal: Terminal) -> bool:
    """Run the seed module and show the last line that it prints. Returns whether it succeeded."""
    began = time.monotonic()
    module = ".".join(project.seed.relative_to(project.folder).with_suffix("").parts)
    code, output = await _run(project, [sys.executable, "-m", module])
    text = (output.strip().splitlines() or ["example data"])[-1]
    if code:
        text = f"failed; to repeat it, run: python -m {module}\n{last_lines(output)}"
    terminal.step("seed", text, time.monotonic() - began)
    return not code


async def _run(project: Project, command: list[str]) -> tuple[int | None, str]:
    """Run a command. Returns its exit code and its output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=project.folder,
        env=project.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **launch.popen_options(),
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode(errors="replace")
