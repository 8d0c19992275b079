"""Jobs on RabbitMQ, if it is installed."""

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from packages.saaskit.jobs.job_system import JobSystem, eventually
from packages.saaskit.jobs.kinds import Work

# Debian's command in /usr/sbin changes to a user that cannot read the test's folder.
PLACES = [*map(str, Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin")), os.environ["PATH"]]
SERVER = shutil.which("rabbitmq-server", path=os.pathsep.join(PLACES))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SERVER is None and not os.environ.get("NO_SKIPS"), reason="rabbitmq-server is not installed"),
]


class RabbitMQ:
    """A RabbitMQ node in a folder."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.url = f"amqp://guest:guest@127.0.0.1:{port}//"

    def start(self) -> None:
        settings = {
            "RABBITMQ_NODENAME": f"jobs{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.port + 1),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none"),
            "HOME": str(self.folder),
        }
        self.process = subprocess.Popen(
            [str(SERVER)],
            env=os.environ | settings,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
async def rabbit(idle: JobSystem, tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[RabbitMQ]:
    for name in ("data", "log"):
        tmp_path.joinpath(name).mkdir(mode=0o777)
    rabbit = RabbitMQ(tmp_path, unused_tcp_port)
    rabbit.start()
    idle.broker = rabbit.url
    idle.environment["CELERY_BROKER_URL"] = rabbit.url
    yield rabbit
    rabbit.kill()


async def test_jobs_run_and_survive_the_death_of_the_broker(idle: JobSystem, rabbit: RabbitMQ):
    idle.relay()
    worker = idle.worker()
    job = await idle.enqueue(Work(number=1))
    await idle.wait_for(job, "succeeded", limit=90)
    waiting = await idle.enqueue(Work(seconds=600))
    await idle.wait_for(waiting, "running")
    idle.kill(worker)
    rabbit.kill()
    rabbit.start()
    idle.worker()

    async def second_attempt() -> bool:
        return (await idle.get(waiting)).attempts == 2

    await eventually(second_attempt, 90, idle.logs)
