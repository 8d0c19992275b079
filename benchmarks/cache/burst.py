"""One process of the stampede, and the functions that bench.py measures."""

import asyncio
import os
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"
sys.path.insert(0, str(PROJECT))
os.environ.setdefault("ENVIRONMENT", "test")
os.chdir(PROJECT)

from pydantic import BaseModel, ConfigDict  # noqa: E402
from saaskit import upstream  # noqa: E402
from saaskit.cache import cached, connect  # noqa: E402
from saaskit.logging import configure_logging  # noqa: E402
from saaskit.settings import Settings  # noqa: E402


class Value(BaseModel):
    model_config = ConfigDict(frozen=True)
    n: int


class Line(BaseModel):
    model_config = ConfigDict(frozen=True)
    id: int
    name: str
    price: float


class Page(BaseModel):
    model_config = ConfigDict(frozen=True)
    items: tuple[Line, ...]


VALUE = Page(items=tuple(Line(id=n, name=f"a lamp for desk {n}", price=19.5 + n) for n in range(14)))
api = upstream.Upstream("bench", base_url=sys.argv[2] if len(sys.argv) > 2 else "")


@cached("weather", revalidate=2, expire=3600, stale_if_error=3600, tags=lambda key: [f"city:{key}"])
async def weather(key: str) -> Value:
    return await api.get("/v1/value", model=Value)


@cached("number", revalidate=60)
async def number(key: str) -> int:
    return 1


@cached("local", revalidate=3600, local=3600)
async def local() -> Page:
    return VALUE


@cached("remote", revalidate=3600, local=0)
async def remote() -> Page:
    return VALUE


@cached("tagged", revalidate=3600, local=0, tags=["one"])
async def tagged() -> Page:
    return VALUE


async def main(url: str) -> None:
    """For each line of input: 200 callers at once; prints errors and milliseconds."""
    configure_logging("error", json=False)
    async with upstream.connect(Settings()), connect(url):
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while phase := (await reader.readline()).decode().strip():
            key = f"warm-{os.getpid()}" if phase == "warm" else "oslo"

            async def caller(key: str = key) -> float:
                started = time.perf_counter()
                await weather(key)
                return (time.perf_counter() - started) * 1000

            found = await asyncio.gather(*(caller() for _ in range(200)), return_exceptions=True)
            errors = [each for each in found if isinstance(each, BaseException)]
            print(len(errors), *(f"{each:.1f}" for each in found if isinstance(each, float)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
