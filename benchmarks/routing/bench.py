"""What routing costs, as ratios from one interleaved run: CPU time per request, in process, no server.

uv run --project "{{cookiecutter.project_slug}}" python benchmarks/routing/bench.py
"""

import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
from fastapi import APIRouter, FastAPI
from filerouter import FileRouter, scan

HANDLER = "async def get(id: int) -> dict[str, int]:\n    return {'id': id}\n"
ROUNDS, REQUESTS = 25, 40

App = Callable[[Any, Any, Any], Awaitable[None]]


def write_tree(folder: Path, name: str, count: int) -> Path:
    """`count` route files, three segments deep, ten to a folder."""
    root = folder / name / "api"
    for number in range(count):
        file = root / f"area{number // 100:03}" / f"thing{number:04}" / "[id].py"
        file.parent.mkdir(parents=True)
        file.write_text(HANDLER)
    (folder / name / "__init__.py").touch()
    return root


def file_routed(root: Path) -> FastAPI:
    app = FastAPI()
    FileRouter(root, prefix="/api").mount(app)
    return app


def urls(count: int) -> list[str]:
    return [f"/api/area{number // 100:03}/thing{number:04}" for number in range(count)]


async def handler(id: int) -> dict[str, int]:  # noqa: A002
    return {"id": id}


def hand_wired(count: int) -> FastAPI:
    app = FastAPI()
    for url in urls(count):
        app.get(f"{url}/{{id}}")(handler)
    return app


def included(count: int) -> FastAPI:
    """Two levels of include_router, as larger projects are written."""
    app, top = FastAPI(), APIRouter()
    for start in range(0, count, 10):
        router = APIRouter()
        for url in urls(count)[start : start + 10]:
            router.get(url.removeprefix("/api") + "/{id}")(handler)
        top.include_router(router)
    app.include_router(top, prefix="/api")
    return app


async def request(app: App, path: str, status: int) -> None:
    scope = {
        **{"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1"},
        **{"method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""},
        **{"scheme": "http", "server": ("h", 80), "client": ("c", 1), "headers": [(b"host", b"h")]},
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start" and message["status"] != status:
            raise AssertionError(f"{path}: {message['status']}")

    await app(scope, receive, send)


async def microseconds(cases: dict[str, tuple[App, str, int]]) -> dict[str, float]:
    """Median CPU time of a request: the cases take turns, so that what disturbs one disturbs all."""
    seen: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(ROUNDS + 1):
        for name, (app, path, status) in cases.items():
            gc.collect()
            start = time.thread_time()
            for _ in range(REQUESTS):
                await request(app, path, status)
            if turn:  # the first one warms up
                seen[name].append((time.thread_time() - start) / REQUESTS * 1e6)
    return {name: statistics.median(values) for name, values in seen.items()}


async def first_and_second(root: Path, count: int) -> list[float]:
    """The first and second request to fresh applications; the process itself is warm."""
    times: list[list[float]] = [[], []]
    for _ in range(9):
        app = file_routed(root)
        app.middleware_stack = app.build_middleware_stack()  # FastAPI's own, for any application
        gc.collect()
        for seen in times:
            start = time.thread_time()
            await request(app, urls(count)[-1] + "/7", 200)
            seen.append((time.thread_time() - start) * 1e6)
    return [statistics.median(seen[1:]) for seen in times]


def row(what: str, ours: float, theirs: float, unit: str, aim: str) -> None:
    print(f"{what:<58} {ours:9.1f} {theirs:9.1f} {unit:<3} {ours / theirs:6.2f}  {aim}")


async def main(folder: Path) -> None:
    apps = {count: file_routed(write_tree(folder, f"tree{count}", count)) for count in (10, 500, 2000)}
    wired, nested = hand_wired(10), included(500)
    firsts = {count: await first_and_second(folder / f"tree{count}" / "api", count) for count in (10, 500)}
    cases: dict[str, tuple[App, str, int]] = {"nested last": (nested, urls(500)[-1] + "/7", 200)}
    cases["nested 404"] = (nested, "/api/area001/none/7", 404)
    for count, app in apps.items():
        cases[f"{count} first"] = (app, urls(count)[0] + "/7", 200)
        cases[f"{count} last"] = (app, urls(count)[-1] + "/7", 200)
        cases[f"{count} 404"] = (app, "/api/area000/none/7", 404)
    for place, number in (("first", 0), ("middle", 5), ("last", 9)):
        cases[f"wired {place}"] = (wired, urls(10)[number] + "/7", 200)
        cases[f"filed {place}"] = (apps[10], urls(10)[number] + "/7", 200)
    gc.collect()
    gc.freeze()  # what the applications hold is not what a request costs
    cost = await microseconds(cases)

    print(f"Python {sys.version.split()[0]}, CPU time, medians of {ROUNDS} rounds of {REQUESTS} requests\n")
    print(f"{'':<58} {'ours':>9} {'other':>9}     {'ratio':>6}  aim")
    for what in ("first", "last", "404"):
        row(f"2000 file routes / 10: {what}", cost[f"2000 {what}"], cost[f"10 {what}"], "µs", "≤ 1.6")
    for what in ("last", "404"):
        name = f"500 file routes / include_router, two levels: {what}"
        row(name, cost[f"500 {what}"], cost[f"nested {what}"], "µs", "≤ 0.1")
    for what in ("first", "middle", "last"):
        row(
            f"10 file routes / 10 by hand, flat: {what}",
            cost[f"filed {what}"],
            cost[f"wired {what}"],
            "µs",
            "",
        )
    places = ("first", "middle", "last")
    ours, theirs = (statistics.mean(cost[f"{who} {place}"] for place in places) for who in ("filed", "wired"))
    row("10 file routes / 10 by hand, flat: mean", ours, theirs, "µs", "≤ 1.02")
    for count, (first, second) in firsts.items():
        row(f"first request / second, {count} file routes", first, second, "µs", "≤ 2")

    times = []
    for _ in range(10):
        start = time.process_time()
        scan(folder / "tree500" / "api")
        times.append((time.process_time() - start) * 1e3)
    print(f"\nscan and check 500 files: {statistics.median(times):.1f} ms (aim: ≤ 50)")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        sys.path.insert(0, temporary)
        uvloop.run(main(Path(temporary)))
