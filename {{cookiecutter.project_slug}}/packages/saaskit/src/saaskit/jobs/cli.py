"""The command `jobs`: inspect and manage the jobs of all users.

jobs                                  list the last 20; --state dead --kind mail --limit 50
jobs show ID                          show one job with its attempts and its last error
jobs watch [ID …]                     follow jobs until they have finished; by default all active ones
jobs retry ID … | --state dead        retry dead and cancelled jobs
jobs cancel ID … | --state queued     cancel queued jobs, stop running ones
jobs purge --days 14                  delete jobs that finished longer ago

--json prints JSON instead of text.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from saaskit.db import Sessionmaker, create_engine, create_sessionmaker
from saaskit.errors import DatabaseUnavailable
from saaskit.jobs import queries
from saaskit.jobs.retention import purge
from saaskit.jobs.tables import FINISHED, STATES, JobAttempt, JobRecord
from saaskit.settings import Settings

__all__ = ["main"]

Arguments = argparse.Namespace
Command = Callable[[Sessionmaker, Arguments], Awaitable[None]]
console = Console()
COLOURS = {"running": "cyan", "succeeded": "green", "dead": "red", "cancelled": "yellow"}
HIDDEN = {"payload", "lease_token", "token"}
"""Columns that the JSON output leaves out: arguments can be confidential."""
MIN_DETAILS = 36
"""Free characters per line from which the list shows progress and creation time, besides the note."""


def main(settings: Settings, argv: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default the process's. Exits with 1 without a database."""
    arguments = _parse(settings, argv)
    try:
        asyncio.run(_run(settings, arguments))
    except DatabaseUnavailable:
        sys.exit("The database at DATABASE_URL does not respond. In development, start `uv run dev`.")
    except KeyboardInterrupt:
        pass


def _parse(settings: Settings, argv: Sequence[str] | None) -> Arguments:
    parser = argparse.ArgumentParser(
        "jobs", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", nargs="?", default="list", choices=[*COMMANDS])
    parser.add_argument("ids", nargs="*", type=UUID, metavar="ID")
    parser.add_argument("--state", choices=STATES)
    parser.add_argument("--kind")
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument(
        "--days", type=float, default=settings.jobs_keep_days, help="for purge; defaults to JOBS_KEEP_DAYS"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    if arguments.command in ("retry", "cancel") and not (arguments.ids or arguments.state or arguments.kind):
        parser.error(f"{arguments.command}: name the jobs by ID, --state or --kind.")
    if arguments.command == "watch" and arguments.json:
        parser.error("watch has no JSON output.")
    return arguments


async def _run(settings: Settings, arguments: Arguments) -> None:
    engine = create_engine(settings.database_url, pool_size=1)
    try:
        await COMMANDS[arguments.command](create_sessionmaker(engine), arguments)
    finally:
        await engine.dispose()


async def _select(db: AsyncSession, arguments: Arguments, limit: int | None = None) -> Sequence[JobRecord]:
    """Return the jobs that the arguments name, newest first."""
    statement = select(JobRecord).order_by(JobRecord.id.desc()).limit(limit)
    if arguments.ids:
        statement = statement.where(JobRecord.id.in_(arguments.ids))
    if arguments.state:
        statement = statement.where(JobRecord.state == arguments.state)
    if arguments.kind:
        statement = statement.where(JobRecord.kind == arguments.kind)
    return (await db.scalars(statement)).all()


def _print_json(value: Any) -> None:
    print(to_json(value, indent=2).decode())


def _as_dict(row: JobRecord | JobAttempt) -> dict[str, Any]:
    names = [column.key for column in row.__table__.columns if column.key not in HIDDEN]
    return {name: getattr(row, name) for name in names}


async def _list(sessionmaker: Sessionmaker, arguments: Arguments) -> None:
    async with sessionmaker() as db:
        rows = await _select(db, arguments, arguments.limit)
    if arguments.json:
        _print_json([_as_dict(row) for row in rows])
    elif not rows:
        print("No jobs.")
    else:
        _print_table(rows)


def _print_table(rows: Sequence[JobRecord]) -> None:
    """Print one line per job. Id, kind, state and tries are always complete; the note is cut to fit."""
    table = [("id", "kind", "state", "tries")]
    table += [(str(row.id), row.kind, row.state, f"{row.attempts}/{row.max_attempts}") for row in rows]
    details = [("done", "created", "note")]
    details += [
        (f"{row.progress} %", row.created_at.astimezone().strftime("%d %b %H:%M:%S"), _note(row))
        for row in rows
    ]
    widths = [max(cell_len(cells[column]) for cells in table) for column in range(4)]
    free = console.width - sum(widths) - 2 * len(widths)
    for cells, (done, created, note) in zip(table, details, strict=True):
        line = "  ".join(set_cell_size(cell, size) for cell, size in zip(cells, widths, strict=True))
        rest = f"{done:5}  {created:15}  {note}" if free >= MIN_DETAILS else note
        if cell_len(rest) > free:
            rest = set_cell_size(rest, max(free - 1, 0)) + "…" * (free > 0)
        text = Text(f"{line}  {rest}".rstrip())
        text.highlight_words([cells[2]], COLOURS.get(cells[2], ""))
        console.print(text, soft_wrap=True)


def _note(row: JobRecord) -> str:
    """Return the first line of the error, or the note that the handler set."""
    if not row.error:
        return row.note
    return (row.error["message"].splitlines() or [row.error["type"]])[0]


async def _show(sessionmaker: Sessionmaker, arguments: Arguments) -> None:
    shown = []
    async with sessionmaker() as db:
        for row in await _select(db, arguments, arguments.limit):
            statement = select(JobAttempt).where(JobAttempt.job_id == row.id).order_by(JobAttempt.started_at)
            attempts = (await db.scalars(statement)).all()
            if arguments.json:
                history = [_as_dict(attempt) for attempt in attempts]
                shown.append(_as_dict(row) | {"history": history})
                continue
            console.print(f"[bold]{row.kind}[/] {row.id}: {row.state}, {row.progress} % {escape(row.note)}")
            for attempt in attempts:
                outcome = attempt.outcome or "running"
                console.print(f"  attempt {attempt.number} on {attempt.worker}: {outcome}")
            if row.error:
                error = row.error.get("traceback") or row.error["message"]
                console.print(error, markup=False, highlight=False)
    if arguments.json:
        _print_json(shown)


async def _watch(sessionmaker: Sessionmaker, arguments: Arguments) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    bars: dict[UUID, TaskID] = {}
    with Progress(*columns, console=console) as progress:
        while True:
            async with sessionmaker() as db:
                rows = await _select_watched(db, arguments, list(bars))
            for row in rows:
                if row.id not in bars:
                    bars[row.id] = progress.add_task("", note="")
                text = f"{row.kind} [{COLOURS.get(row.state, 'default')}]{row.state}[/]"
                progress.update(bars[row.id], description=text, completed=row.progress, note=escape(row.note))
            if all(row.state in FINISHED for row in rows):
                return
            await asyncio.sleep(0.3)


async def _select_watched(db: AsyncSession, arguments: Arguments, shown: list[UUID]) -> Sequence[JobRecord]:
    """Return the named jobs; by default those that are active or already shown."""
    if arguments.ids or arguments.state or arguments.kind:
        return await _select(db, arguments, limit=50)
    watched = or_(JobRecord.state.not_in(FINISHED), JobRecord.id.in_(shown))
    return (await db.scalars(select(JobRecord).where(watched).order_by(JobRecord.id.desc()).limit(50))).all()


def _for_each(change: Callable[[AsyncSession, UUID], Awaitable[bool]], done: str) -> Command:
    """Return a command that applies a transition to each selected job."""

    async def command(sessionmaker: Sessionmaker, arguments: Arguments) -> None:
        async with sessionmaker.begin() as db:
            changed = [await change(db, row.id) for row in await _select(db, arguments)]
        unchanged = len(changed) - sum(changed)
        if arguments.json:
            _print_json({done: sum(changed), "unchanged": unchanged})
        else:
            print(f"{sum(changed)} {done}, {unchanged} unchanged.")

    return command


async def _purge(sessionmaker: Sessionmaker, arguments: Arguments) -> None:
    async with sessionmaker.begin() as db:
        count = await purge(db, arguments.days)
    if arguments.json:
        _print_json({"deleted": count})
    else:
        print(f"{count} deleted that finished more than {arguments.days:g} days ago.")


COMMANDS: dict[str, Command] = {
    "list": _list,
    "show": _show,
    "watch": _watch,
    "retry": _for_each(queries.retry, "retried"),
    "cancel": _for_each(queries.cancel, "cancelled or stopping"),
    "purge": _purge,
}
