"""The fault run in short: 150 jobs for each fault. Committed = ended; effects = successes, each once."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.jobs import faults

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot stop a process and go on"),
]
JOBS = 150


@pytest.fixture(scope="module")
async def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[faults.Stage]:
    """Engines of its own, to be killed; the table is printed at the end."""
    stage = await asyncio.to_thread(faults.Stage, tmp_path_factory.mktemp("faults"))
    yield stage
    await stage.stop()
    stage.close()
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        sys.stdout.write("\n".join(["", faults.Report.header(), *map(str, stage.reports), ""]))


@pytest.mark.parametrize("fault", faults.FAULTS)
async def test_nothing_is_lost_and_nothing_happens_twice(stage: faults.Stage, fault: str):
    report = await faults.run(stage, fault, JOBS)
    assert report.wrong == "", report
