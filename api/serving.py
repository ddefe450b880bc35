"""The API's inner process: serves on the sockets it has or makes, until it is told to stop."""

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import structlog
import uvicorn

from api.app import create_app, front_of
from api.connections import Connections, Limits
from api.keeper import parse_held
from api.listeners import Listeners
from api.services import open_services
from api.sparingly import Sparingly
from flotilla.address import BACKLOG
from flotilla.db.start import begin_with
from flotilla.hardening import end_with, harden
from flotilla.home import ProgramLock, prepare_home
from flotilla.program import run_program
from flotilla.release import record_release
from flotilla.settings import Settings

STOP_GRACE_S = 1
"""Seconds that requests under way get to finish; the whole stop stays within 3 s."""
log = structlog.get_logger()


class Server(uvicorn.Server):
    """uvicorn's server, without its signal handlers: they end the process by the signal instead of with exit code 0."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `serve`."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """See to the connections ten times a second, as uvicorn does to itself."""
        self._connections.sweep()
        return await super().on_tick(counter)

    async def serve_too(self, listener: socket.socket) -> None:
        """Serve on one more socket from now on."""
        protocol = partial(
            self._connections.protocol,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        loop = asyncio.get_running_loop()
        self.servers.append(await loop.create_server(protocol, sock=listener, backlog=BACKLOG))


async def serve(settings: Settings, held: dict[str, int], keeper: socket.socket | None) -> None:
    """Run the API until SIGTERM or SIGINT. held, keeper: as `Listeners` takes them."""
    prepare_home(settings)
    lock = ProgramLock(settings, "api")
    lock.acquire()
    listeners = Listeners(settings, held, keeper)
    sockets = await listeners.open()
    record_release(settings, "api")  # when it listens: an upgrade goes on to ask it
    async with open_services(settings) as services:
        await begin_with(services.database, settings, "api")
        sparingly = Sparingly()
        app = create_app(services, sparingly)
        limits = Limits(settings.http_connections, settings.http_header_s, settings.http_idle_s)
        connections = Connections(limits, front_of(app).takes_websocket, sparingly)
        config = uvicorn.Config(
            app,
            http=connections.protocol,  # type: ignore[arg-type] # it calls what it takes for a class
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=int(settings.http_idle_s),
            timeout_graceful_shutdown=STOP_GRACE_S,
        )
        server = Server(config, connections)

        def stop() -> None:
            server.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        listeners.keep(sockets)
        log.info("api.listening", host=settings.http_host, port=settings.http_port, socket=str(settings.api_socket))
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(lock.stay()), group.create_task(listeners.watch(server.serve_too))]
            await server.serve(sockets=sockets)
            for task in beside:
                task.cancel()
        log.info("api.stopped")


def main(words: Sequence[str]) -> int:
    """Serve as the outer process asks: its pid, the channel to it, and the sockets it holds. Return the exit code."""
    harden()
    outer, channel, *held = words
    end_with(int(outer))
    keeper = socket.socket(fileno=int(channel))
    keeper.set_inheritable(False)
    return run_program("api", lambda settings: serve(settings, parse_held(held), keeper))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
