"""The API's process: binds its port, then serves until it is told to stop."""

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn

from api.app import create_app
from api.services import open_services
from flotilla.address import listen, why_not
from flotilla.db.start import begin_with
from flotilla.hardening import forbid_core_dumps
from flotilla.home import ProgramLock, prepare_home
from flotilla.program import run_program
from flotilla.release import record_release
from flotilla.settings import Settings

STOP_GRACE_S = 1
"""Seconds that requests under way get to finish; the whole stop stays within 3 s."""
log = structlog.get_logger()


class Server(uvicorn.Server):
    """uvicorn's server, without its signal handlers: they end the process by the signal instead of with exit code 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `serve`."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `host`:`port`. Raises SetupError with the setting to change."""
    try:
        return listen(host, port)
    except OSError as fault:
        raise why_not(fault, host, port) from fault


async def serve(settings: Settings) -> None:
    """Run the API until SIGTERM or SIGINT."""
    prepare_home(settings)
    lock = ProgramLock(settings, "api")
    lock.acquire()
    staying = asyncio.create_task(lock.stay())
    record_release(settings, "api")
    listener = bind(settings.http_host, settings.http_port)
    async with open_services(settings) as services:
        await begin_with(services.database, settings, "api")
        config = uvicorn.Config(
            create_app(services),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_GRACE_S,
        )
        server = Server(config)

        def stop() -> None:
            server.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        log.info("api.listening", host=settings.http_host, port=settings.http_port)
        await server.serve(sockets=[listener])
        staying.cancel()
        log.info("api.stopped")


if __name__ == "__main__":
    forbid_core_dumps()
    sys.exit(run_program("api", serve))
