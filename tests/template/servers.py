"""A real PostgreSQL and a real Valkey, for projects that run without `dev`."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.bake import PROJECT

ENGINES = """
import sys
from pathlib import Path
from devstack import run_postgres, run_valkey
folder = Path(sys.argv[1])
with run_postgres(folder / "postgres") as database, run_valkey(folder / "valkey") as cache:
    print(database, cache, flush=True)
    sys.stdin.read()
"""


@contextmanager
def servers(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield their URLs. The servers stop at the end of the block, which closes their standard input."""
    with subprocess.Popen(
        ["uv", "run", "--quiet", "python", "-c", ENGINES, folder],
        cwd=PROJECT,
        env={key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as engines:
        assert engines.stdout
        database, cache = engines.stdout.readline().split()
        yield database, cache
