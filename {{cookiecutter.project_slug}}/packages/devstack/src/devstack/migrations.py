"""Is the database at the newest migration? Asked without Alembic, whose import takes longer than that."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from .errors import Problem
from .files import last_lines


def heads(folder: Path) -> set[str]:
    """The revisions of the files that no other file builds upon."""
    revisions: set[str] = set()
    bases: set[str] = set()
    for file in folder.glob("*.py"):
        found = dict(_assigned(file))
        revisions |= _texts(found.get("revision"))
        bases |= _texts(found.get("down_revision"))
    return revisions - bases


async def current(url: str) -> set[str]:
    """The revisions that the database is at; none if it was never migrated. Problem if it is not reached."""
    import asyncpg

    try:
        connection = await asyncpg.connect(re.sub(r"^(\w+)\+\w+:", r"\1:", url), timeout=10)  # no +driver
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise Problem(f"DATABASE_URL: cannot connect ({str(error) or type(error).__name__}).") from None
    try:
        if not await connection.fetchval("select to_regclass('alembic_version')"):
            return set()
        return {row[0] for row in await connection.fetch("select version_num from alembic_version")}
    finally:
        await connection.close()


def culprit(output: str, folder: Path) -> str:
    """The file and revision at which a migration failed, as far as its output tells."""
    for name in reversed(re.findall(r'File "([^"]+\.py)"', output)):
        file = Path(name)
        if file.parent == folder and file.is_file():
            return f"{file.name} (revision {', '.join(_texts(dict(_assigned(file)).get('revision'))) or '?'})"
    steps = re.findall(r"Running upgrade .*", output)
    return steps[-1] if steps else "before the first step"


def reason(output: str) -> str:
    """The last error line of a traceback: drivers print the whole statement below it."""
    errors = re.findall(r"^[\w.]+(?:Error|Exception): .*", output, re.MULTILINE)
    return f"  {errors[-1]}" if errors else last_lines(output)


def _assigned(file: Path) -> Iterator[tuple[str, object]]:
    """Names and constants that the file assigns at its top; nothing if it is no Python."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError):
        return  # Alembic will say it better
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(value, ast.Constant | ast.Tuple | ast.List):
                yield target.id, ast.literal_eval(value)


def _texts(value: object) -> set[str]:
    """A revision may be one text, several, or None."""
    return {value} if isinstance(value, str) else set(value) if isinstance(value, tuple | list) else set()
