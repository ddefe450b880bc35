"""The API's process: binds its port, then serves until it is told to stop."""

import asyncio
import errno
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn

from api.app import create_app
from api.services import open_services
from flotilla.db.start import begin_with
from flotilla.errors import SetupError
from flotilla.hardening import forbid_core_dumps
from flotilla.home import ProgramLock, prepare_home
from flotilla.program import run_program
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
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as fault:
        if fault.errno == errno.EADDRINUSE:
            raise SetupError(
                f"Port {port} on {host} is in use by another program. "
                "Stop that one, or choose another port with FLOTILLA_HTTP_PORT.",
                code="port_taken",
            ) from fault
        raise SetupError(
            f"Cannot listen on {host}, port {port} ({fault.strerror}). "
            "Check FLOTILLA_HTTP_HOST and FLOTILLA_HTTP_PORT.",
            code="port_unusable",
        ) from fault


async def serve(settings: Settings) -> None:
    """Run the API until SIGTERM or SIGINT."""
    prepare_home(settings)
    ProgramLock(settings, "api").acquire()
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
        log.info("api.stopped")


if __name__ == "__main__":
    forbid_core_dumps()
    sys.exit(run_program("api", serve))
