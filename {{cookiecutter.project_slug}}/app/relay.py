"""The relay as a process: `python -m app.relay`. Run one or more, anywhere; SIGTERM ends it."""

import asyncio
import signal

import structlog

from app import jobs
from app.core.jobs.broker import Broker
from app.core.jobs.relay import Relay
from app.core.logging import configure_logging
from app.settings import Settings, get_settings


async def relay(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT."""
    relay, loop = Relay(settings, Broker(settings)), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(relay.stop))
    structlog.get_logger("app.relay").info("relay ready")  # `dev` waits for this line
    await relay.run()


def main() -> None:
    """Run with the settings of the environment, and the schedules of app/jobs/."""
    settings = get_settings()
    configure_logging(settings.log_level, json=settings.production)
    jobs.register()
    asyncio.run(relay(settings))


if __name__ == "__main__":
    main()
