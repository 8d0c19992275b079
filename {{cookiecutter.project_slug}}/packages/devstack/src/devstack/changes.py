"""Which rows must start afresh after files changed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from .project import Row
from .terminal import Terminal


def concerning(row: Row, changed: set[Path], folder: Path, *, down: bool) -> list[str]:
    """Those of the files that are this row's: named in `reload`, or Python code in a folder named there.

    What lies in a `hot` folder the running process takes over by itself; one that is `down` cannot.
    """
    named = {folder / name for name in row.reload}
    hot = set() if down else {folder / name for name in row.hot}
    return sorted(
        str(path.relative_to(folder))
        for path in changed
        if path in named
        or (path.suffix == ".py" and named & set(path.parents) and not hot & set(path.parents))
    )


async def of(rows: list[Row], folder: Path, terminal: Terminal) -> AsyncIterator[set[Path]]:
    """Files as they change, gathered for some 20 ms."""
    from watchfiles import awatch

    named = {folder / name for row in rows for name in row.reload}
    folders = [path for path in named if path.is_dir()]
    # Single files by way of their folder: editors replace them, and they may not exist yet.
    parents = {path.parent for path in named if not path.is_dir() and path.parent.is_dir()}
    queue: asyncio.Queue[set[Path]] = asyncio.Queue()

    async def watch(paths: list[Path], recursive: bool) -> None:
        try:
            async for changes in awatch(
                *paths, recursive=recursive, debounce=200, step=20, watch_filter=None
            ):
                queue.put_nowait({Path(path) for _, path in changes})
        except OSError as error:  # the system's limit of watches
            terminal.step("dev", f"cannot watch files ({error}): nothing restarts on a change")

    tasks = [asyncio.create_task(watch(folders, True))] if folders else []
    tasks += [asyncio.create_task(watch(list(parents), False))] if parents else []
    try:
        while tasks:
            yield await queue.get()
    finally:
        for task in tasks:
            task.cancel()
