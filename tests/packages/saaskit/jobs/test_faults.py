"""The fault run with 150 jobs per fault: every committed job finishes, and each success has one effect."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from packages.saaskit.jobs.faults import FAULTS, FaultRun, Report, break_one

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot stop and continue a process"),
]
JOBS = 150


@pytest.fixture(scope="module")
async def fault_run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FaultRun]:
    """Processes and servers to break. Prints the reports at the end."""
    run = await asyncio.to_thread(FaultRun, tmp_path_factory.mktemp("faults"))
    yield run
    await run.stop()
    run.close()
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        sys.stdout.write("\n".join(["", Report.header(), *map(str, run.reports), ""]))


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_job_is_lost_and_no_effect_happens_twice(fault_run: FaultRun, fault: str):
    report = await break_one(fault_run, fault, JOBS)
    assert report.wrong == "", report
