"""The command `jobs`: every job of everybody, for whoever may sit at the server.

uv run jobs                                the last 20; --state dead --kind mail --limit 50
uv run jobs show ID                        one, with its attempts and the last error
uv run jobs watch [ID …]                   progress bars, until they have ended (default: all unfinished)
uv run jobs retry ID … | --state dead      begin dead and cancelled jobs anew
uv run jobs cancel ID … | --state queued   cancel what waits, stop what runs
uv run jobs purge --days 14                delete what ended longer ago
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import Sessions, create_engine, create_sessions
from app.core.errors import DatabaseUnavailable
from app.core.jobs import states
from app.core.jobs.retention import forget
from app.core.jobs.tables import FINISHED, STATES, AttemptRow, JobRow
from app.settings import get_settings

console = Console()
COLOURS = {"running": "cyan", "succeeded": "green", "dead": "red", "cancelled": "yellow"}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "jobs", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", nargs="?", default="list", choices=[*COMMANDS])
    parser.add_argument("ids", nargs="*", type=UUID, metavar="ID")
    parser.add_argument("--state", choices=STATES)
    parser.add_argument("--kind")
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--days", type=float, help="for purge; JOBS_KEEP_DAYS if not given")
    given = parser.parse_args()
    if given.what in ("retry", "cancel") and not (given.ids or given.state or given.kind):
        parser.error(f"{given.what} what? Name ids, or --state, or --kind.")
    return given


async def _chosen(
    db: AsyncSession, given: argparse.Namespace, *, limit: int | None = None
) -> Sequence[JobRow]:
    rows = select(JobRow).order_by(JobRow.id.desc()).limit(limit)
    if given.ids:
        rows = rows.where(JobRow.id.in_(given.ids))
    if given.state:
        rows = rows.where(JobRow.state == given.state)
    if given.kind:
        rows = rows.where(JobRow.kind == given.kind)
    return (await db.scalars(rows)).all()


async def _list(sessions: Sessions, given: argparse.Namespace) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("id", "kind", "state", "done", "tries", "created", "note"):
        table.add_column(name, no_wrap=True, min_width=36 if name == "id" else None)
    async with sessions() as db:
        for row in await _chosen(db, given, limit=given.limit):
            state = f"[{COLOURS.get(row.state, 'default')}]{row.state}[/]"
            note = escape(
                (row.error["message"].splitlines() or [row.error["type"]])[0] if row.error else row.note
            )
            tries = f"{row.attempts}/{row.max_attempts}"
            created = row.created_at.astimezone().strftime("%d %b %H:%M:%S")
            table.add_row(str(row.id), row.kind, state, f"{row.progress} %", tries, created, note)
    console.print(table if table.row_count else "No jobs.")


async def _show(sessions: Sessions, given: argparse.Namespace) -> None:
    async with sessions() as db:
        for row in await _chosen(db, given, limit=given.limit):
            console.print(f"[bold]{row.kind}[/] {row.id}: {row.state}, {row.progress} % {escape(row.note)}")
            attempts = select(AttemptRow).where(AttemptRow.job_id == row.id).order_by(AttemptRow.started_at)
            for attempt in await db.scalars(attempts):
                outcome = attempt.outcome or "running"
                console.print(f"  attempt {attempt.number} on {attempt.worker}: {outcome}")
            if row.error:
                console.print(
                    row.error.get("traceback") or row.error["message"], markup=False, highlight=False
                )


async def _watched(db: AsyncSession, given: argparse.Namespace, known: list[UUID]) -> Sequence[JobRow]:
    """The named jobs; without names those that had not ended at the first look, and newer ones."""
    if given.ids or given.state or given.kind:
        return await _chosen(db, given, limit=50)
    which = or_(JobRow.state.not_in(FINISHED), JobRow.id.in_(known))
    return (await db.scalars(select(JobRow).where(which).order_by(JobRow.id.desc()).limit(50))).all()


async def _watch(sessions: Sessions, given: argparse.Namespace) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    bars: dict[UUID, TaskID] = {}
    with Progress(*columns, console=console) as progress:
        while True:
            async with sessions() as db:
                rows = await _watched(db, given, list(bars))
            for row in rows:
                if row.id not in bars:
                    bars[row.id] = progress.add_task("", note="")
                text = f"{row.kind} [{COLOURS.get(row.state, 'default')}]{row.state}[/]"
                progress.update(bars[row.id], description=text, completed=row.progress, note=escape(row.note))
            if all(row.state in FINISHED for row in rows):
                return
            await asyncio.sleep(0.3)


def _each(move: Callable[[AsyncSession, UUID], Awaitable[bool]], done: str):
    async def command(sessions: Sessions, given: argparse.Namespace) -> None:
        async with sessions.begin() as db:
            moved = [await move(db, row.id) for row in await _chosen(db, given)]
        console.print(f"{sum(moved)} {done}, {len(moved) - sum(moved)} left as they were.")

    return command


async def _purge(sessions: Sessions, given: argparse.Namespace) -> None:
    days = get_settings().jobs_keep_days if given.days is None else given.days
    async with sessions.begin() as db:
        console.print(f"{await forget(db, days)} deleted that ended more than {days:g} days ago.")


COMMANDS = {
    "list": _list,
    "show": _show,
    "watch": _watch,
    "retry": _each(states.retry, "to begin anew"),
    "cancel": _each(states.cancel, "cancelled or asked to stop"),
    "purge": _purge,
}


async def _run(given: argparse.Namespace) -> None:
    engine = create_engine(get_settings().database_url, pool_size=1)
    try:
        await COMMANDS[given.what](create_sessions(engine), given)
    finally:
        await engine.dispose()


def main() -> None:
    """Run the command; exit code 1 if the database does not answer."""
    try:
        asyncio.run(_run(_arguments()))
    except DatabaseUnavailable:
        sys.exit("The database of DATABASE_URL does not answer. Is `uv run dev` running?")
    except KeyboardInterrupt:
        pass
